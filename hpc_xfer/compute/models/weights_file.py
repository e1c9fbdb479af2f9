"""Write and read files of tensors: atomic, with checksums, weights only."""

import os
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import torch

from hpc_xfer.system import atomic_files

_PIECE = 64 << 20  # bytes between signs of life: 30 s on a disk of 2 MB/s
_READ = 1 << 20

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


def read(path: Path, touch: Callable[[], object] = lambda: None) -> dict[str, Any] | None:
    """Load a state to the CPU; None if the file is missing, or damaged, which is a warning.

    Args:
        touch: called now and then while it reads, as a sign of life.
    """
    if not path.exists():
        return None
    try:
        os.close(atomic_files.open_plainly(path))  # no pipe, for which torch would wait
        check_sums(path, touch)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(f"{path}: is damaged ({reason}) and skipped", stacklevel=2)
        return None
    return state


def check_sums(path: Path, touch: Callable[[], object] = lambda: None) -> None:
    """Compare a file with the sums in it, which torch.load does not.

    torch can be told to leave the sums out of a file; they are 0 there.

    Raises:
        BadZipFile: a sum is wrong.
    """
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.CRC == 0:
                continue
            with archive.open(member) as file:  # which checks the sum at the end
                while len(file.read(_READ)) == _READ:
                    touch()


class _ErrorKeeper:
    """Keeps the file's error, such as a full disk: torch.save replaces it by one on positions."""

    def __init__(self, file: IO[bytes], touch: Callable[[], object] | None) -> None:
        self.file, self.touch = file, touch
        self.error: OSError | None = None
        self._unsynced = 0  # bytes

    def write(self, data: bytes) -> int:
        try:
            for start in range(0, len(data), _PIECE):
                self._write_piece(memoryview(data)[start : start + _PIECE])
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def _write_piece(self, piece: memoryview) -> None:
        """Write, and see to it that what is written is on disk before the next sign of life."""
        self.file.write(piece)
        self._unsynced += len(piece)
        if self.touch is not None and self._unsynced >= _PIECE:
            self.file.flush()
            os.fdatasync(self.file.fileno())
            self._unsynced = 0
            self.touch()

    def flush(self) -> None:
        """Do nothing: `write_atomically` flushes."""


def save_tensors(
    state: dict[str, Any], file: IO[bytes], touch: Callable[[], object] | None = None
) -> None:
    """Save tensors and plain values.

    Args:
        touch: called each time that so much more is on disk, as a sign of life.
    """
    out = _ErrorKeeper(file, touch)
    try:
        torch.save(state, cast(IO[bytes], out))
    except RuntimeError:
        if out.error is not None:
            raise out.error from None
        raise
