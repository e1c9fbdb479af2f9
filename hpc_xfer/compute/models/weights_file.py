"""Write and read files of tensors: atomic, with checksums, weights only."""

import hashlib
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import torch

from hpc_xfer.compute.models.files.held_file import held
from hpc_xfer.compute.models.files.pickle_check import NotPlainData, OddTensor
from hpc_xfer.system import atomic_files
from hpc_xfer.system.screen.plain_text import plain

_PIECE = 64 << 20  # bytes between signs of life: 30 s on a disk of 2 MB/s
_LONGEST_REASON = 100  # characters

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
    AssertionError,
    ArithmeticError,
    struct.error,
)


def write(path: Path, state: dict[str, Any]) -> str:
    """Save tensors and plain values atomically; return the SHA-256 of what was written.

    Raises:
        StoreError: the disk is full or cannot be written; the old file stays.
    """
    digest = hashlib.sha256()
    atomic_files.write_atomically(path, lambda file: save_tensors(state, file, digest=digest))
    return digest.hexdigest()


def read(path: Path, touch: Callable[[], object] = lambda: None) -> dict[str, Any] | None:
    """Load a state to the CPU; None if the file is missing, or damaged, which is a warning.

    Args:
        touch: called now and then while it reads, as a sign of life.
    """
    found = read_hashed(path, touch, hashed=False)
    return None if found is None else found[0]


def read_hashed(
    path: Path, touch: Callable[[], object] = lambda: None, hashed: bool = True
) -> tuple[dict[str, Any], str] | None:
    """Load a state as `read` does, and return the SHA-256 of the file too, from one handle."""
    try:
        with held(path) as file:
            if not file.is_archive():
                raise zipfile.BadZipFile("File is not a zip file")
            state = file.load(touch)
            digest = file.sha256() if hashed else ""
    except (FileNotFoundError, NotADirectoryError):
        return None
    except _BROKEN as error:
        warnings.warn(f"{path}: is damaged ({why_refused(error)}) and skipped", stacklevel=3)
        return None
    if not isinstance(state, dict):
        warnings.warn(f"{path}: is damaged (holds no state) and skipped", stacklevel=3)
        return None
    return state, digest


def why_refused(error: Exception) -> str:
    """Say why a file of tensors is not read, in our words: torch's advise to run its code."""
    if isinstance(error, NotPlainData | OddTensor | zipfile.BadZipFile | atomic_files.OddFile):
        return plain((str(error).splitlines() or [""])[0], most=_LONGEST_REASON)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "its tensors cannot be read"


class _ErrorKeeper:
    """Keeps the file's error, such as a full disk: torch.save replaces it by one on positions."""

    def __init__(
        self, file: IO[bytes], touch: Callable[[], object] | None, digest: "hashlib._Hash | None"
    ) -> None:
        self.file, self.touch, self.digest = file, touch, digest
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
        if self.digest is not None:
            self.digest.update(piece)
        self._unsynced += len(piece)
        if self.touch is not None and self._unsynced >= _PIECE:
            self.file.flush()
            os.fdatasync(self.file.fileno())
            self._unsynced = 0
            self.touch()

    def flush(self) -> None:
        """Do nothing: `write_atomically` flushes."""


def save_tensors(
    state: dict[str, Any],
    file: IO[bytes],
    touch: Callable[[], object] | None = None,
    digest: "hashlib._Hash | None" = None,
) -> None:
    """Save tensors and plain values.

    Args:
        touch: called each time that so much more is on disk, as a sign of life.
        digest: is given what is written.
    """
    out = _ErrorKeeper(file, touch, digest)
    try:
        torch.save(state, cast(IO[bytes], out))
    except RuntimeError:
        if out.error is not None:
            raise out.error from None
        raise
