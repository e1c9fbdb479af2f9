"""Files that are whole or absent: unique temporary name in the same folder, fsync, os.replace."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from hpc_xfer.errors import StoreError


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Readers see the old file or the new one, never half of one; a failure leaves the old one.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False
        ) as file:
            temporary = file.name
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); free space or fix the "
            "permissions, then launch again"
        ) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


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
    temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        write_bytes(temporary, data)
        os.link(temporary, path)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: cannot be created ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Append one line in a single write, which other writers cannot cut in two."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from error


def read_json(path: Path) -> Any:
    """The parsed file, or None where it is absent or not whole JSON (cut by a dying disk)."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def sha256(path: Path) -> str:
    """Hex digest of the file's content, read a megabyte at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _write_all(file: IO[bytes], data: bytes) -> None:
    file.write(data)
