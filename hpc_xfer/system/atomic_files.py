"""Files that are whole or absent: unique temporary name in the same folder, fsync, os.replace."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from hpc_xfer.errors import StoreError


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Readers see the old file or the new one, never half of one; a failure leaves the old one.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    with _written(path, write) as temporary:
        os.replace(temporary, path)


def write_bytes(path: Path, data: bytes) -> None:
    write_atomically(path, lambda file: _write_all(file, data))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Sorted keys and no NaN: the same value gives the same bytes, for every parser."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def create_exclusively(path: Path, data: bytes) -> bool:
    """Write `path` unless it exists; True for the one process that made it.

    A hard link from a finished temporary file is atomic on NFS too, and shows no half-written file.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    with _written(path, lambda file: _write_all(file, data)) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:  # also what NFS says when its answer was lost and it asked again
            return temporary.stat().st_nlink == 2
        return True


def append_line(path: Path, line: str) -> None:
    """Append one line in a single write, which other writers cannot cut in two.

    What a full disk left of the line before it stays a line of its own.

    Raises:
        StoreError: the file cannot be written or the disk is full.
    """
    with _told_as_ours(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(handle).st_size
            cut = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            data = b"\n" * cut + f"{line}\n".encode()
            if os.write(handle, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(handle)


def sync(path: Path) -> None:
    """Return when what was written to a file would outlive the end of its host.

    Raises:
        StoreError: the disk failed.
    """
    with _told_as_ours(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_json(path: Path) -> Any:
    """The parsed file, or None where it is absent or not whole JSON (cut by a dying disk).

    Raises:
        StoreError: it is there but may not be read.
    """
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}); fix the permissions, then launch "
            "again"
        ) from error


def sha256(path: Path) -> str:
    """Hex digest of the file's content, read a megabyte at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _written(path: Path, write: Callable[[IO[bytes]], None]) -> Iterator[Path]:
    """A finished temporary file beside `path`, on disk, with the rights that the umask gives.

    (tempfile's are for the owner alone, but a store may be shared by a group.)
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    with _told_as_ours(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            if temporary.exists():
                temporary.unlink()


@contextmanager
def _told_as_ours(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); free space or fix the "
            "permissions, then launch again"
        ) from error


def _write_all(file: IO[bytes], data: bytes) -> None:
    file.write(data)
