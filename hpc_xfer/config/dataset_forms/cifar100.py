"""CIFAR-100: the pickles `train`, `test` and `meta`; ciFAIR-100 has a `test` of the same form."""

import os
from collections.abc import Mapping
from pathlib import Path

from hpc_xfer.config.dataset_cards import DatasetCard
from hpc_xfer.config.dataset_forms.listing import fetch_command, find_folder
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.atomic_files import OddFile

FURTHER = "cifair"
_IMAGE = 3 * 32 * 32  # bytes
_STOP = b"."  # the last byte of a whole pickle


def pickle_files(card: DatasetCard, root: Path) -> dict[str, Path]:
    """Name the pickle of each split that is there, and of the class names (`meta`)."""
    folder = find_folder(root, card.name, ("cifar-100-python", "."), "train")
    files = {name: folder / name for name in ("meta", "train", "test")}
    if (further := _further(folder)).is_file():
        files[FURTHER] = further
    return files


def _further(folder: Path) -> Path:
    """Name the pickle of ciFAIR-100, whose folder lies beside that of CIFAR-100."""
    return folder.parent / "ciFAIR-100/test"


def notes(files: Mapping[str, Path]) -> tuple[str, ...]:
    if FURTHER in files:
        return ()
    absent = _further(files["train"].parent)
    return (f"the further test set {FURTHER} is not used: {absent} is absent",)


def check(card: DatasetCard, root: Path, expected: Mapping[str, int | None]) -> None:
    """Look at the size and the last byte of each pickle.

    Raises:
        DataError: a pickle is missing or cut off.
    """
    for split, path in pickle_files(card, root).items():
        least = _IMAGE * (expected.get(split) or 0)
        try:
            size, last = path.stat().st_size, _last_byte(path)
        except OddFile as odd:
            raise DataError(f"{path}: {odd}; run {fetch_command(card.name)}") from None
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); run {fetch_command(card.name)}"
            ) from error
        if size < least or last != _STOP:
            raise DataError(
                f"{path}: is cut off after {size:,} bytes; run {fetch_command(card.name)}"
            )


def _last_byte(path: Path) -> bytes:
    with open(atomic_files.open_plainly(path, follow=True), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 1))
        return file.read(1)
