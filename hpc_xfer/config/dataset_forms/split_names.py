"""Names of folders and files that tell a split: `train`, `val2017`, `test_images`, `testset`."""

import re
from collections.abc import Collection
from pathlib import Path

from hpc_xfer.errors import DataError

_SPLITS = frozenset(
    {"train", "training", "trainval", "val", "valid", "validation", "dev", "test", "testing",
     "eval"}
)  # fmt: skip
_WORD = re.compile(r"[a-z]+")


def split_in(name: str) -> str | None:
    """Return the word in a name that tells a split; None where no word does."""
    words = (word.removesuffix("set") for word in _WORD.findall(name.lower()))
    return next((word for word in words if word in _SPLITS), None)


def check_no_splits(folder: Path, classes: Collection[str]) -> None:
    """Refuse a folder of splits where one of classes is expected.

    Names that only hold such a word, as `train_station` does, are splits where all do, and differ.

    Raises:
        DataError: its folders are called train and test, or the like.
    """
    exact = [name for name in classes if name.lower() in _SPLITS]
    if len(exact) > 1 or len(exact) == len(classes) > 0:
        raise DataError(_refusal(folder, exact))
    found = {split_in(name) for name in classes}
    if len(found) > 1 and None not in found:
        raise DataError(_refusal(folder, sorted(classes)))


def check_no_nested_splits(folder: Path, nested: Collection[str]) -> None:
    """Refuse folders that hold folders and no image, where their names tell splits.

    Raises:
        DataError: one of `nested` is called train, or the like.
    """
    if splits := sorted(name for name in nested if split_in(name)):
        raise DataError(_refusal(folder, splits))


def _refusal(folder: Path, splits: list[str]) -> str:
    inner = next((name for name in splits if "train" in name.lower()), splits[0])
    are = "are splits and not classes" if len(splits) > 1 else "is a split and not a class"
    return (
        f"{folder}: holds {' and '.join(splits)}, which {are}; name {folder / inner}, whose "
        "folders are the classes"
    )
