"""Write and read files of tensors: atomic, with checksums, weights only."""

import pickle
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, cast

import torch

from hpc_xfer.system import atomic_files

# Errors of zipfile and torch on damaged files; NotImplementedError is a RuntimeError.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


def write(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values atomically.

    Raises:
        StoreError: the disk is full or cannot be written; the old file stays.
    """
    atomic_files.write_atomically(path, lambda file: save_tensors(state, file))


def read(path: Path) -> dict[str, Any] | None:
    """Load a state to the CPU; None if the file is missing, or damaged, which is a warning."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad:
            raise zipfile.BadZipFile(f"checksum of {bad}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(f"{path}: is damaged ({reason}) and skipped", stacklevel=2)
        return None
    return state


class _ErrorKeeper:
    """Keeps the file's error, such as a full disk: torch.save replaces it by one on positions."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Do nothing: `write_atomically` flushes."""


def save_tensors(state: dict[str, Any], file: IO[bytes]) -> None:
    out = _ErrorKeeper(file)
    try:
        torch.save(state, cast(IO[bytes], out))
    except RuntimeError:
        if out.error is not None:
            raise out.error from None
        raise
