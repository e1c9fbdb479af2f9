"""Write files that are whole or absent: temporary file in the same folder, fsync, os.replace.

`durable=False` leaves out the fsync, which costs 2 to 10 ms: for files that nobody needs after a
crash of this host. A reader still never sees half a file, except after such a crash.

Files and folders take their permissions from the umask, but others may never write to them, nor a
group unless the site says so (permissions.py): what is in a store is trusted by the jobs of its
owner. A link is never followed, to read or to write: a neighbour may have put it there. What is
read is a regular file of bounded size.
"""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from hpc_xfer.errors import StoreError
from hpc_xfer.system import permissions, set_aside
from hpc_xfer.system.limits import bounded_json

MOST_JSON = 64 << 20  # bytes; the largest of ours, a manifest of 40,000 runs, has 20 MB
_FOLDER, _FILE = 0o775, 0o664  # at most; permissions.py and the umask take more away
# No link at the end of the path, no waiting for the other side of a pipe, no terminal.
_PLAINLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class OddFile(ValueError):
    """A file that is not used: a link, a pipe, too large, or not what stands under its name."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], None], durable: bool = True) -> None:
    """Replace a file: readers see the old one or the new one; a failure leaves the old one.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    with _written(path, write, durable) as temporary:
        os.replace(temporary, path)


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    write_atomically(path, lambda file: _write_all(file, data), durable)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    write_bytes(path, json_bytes(value), durable)


def json_bytes(value: Any) -> bytes:
    """Return JSON: sorted keys and no NaN, so that equal values give equal bytes."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    return text.encode()


def create_exclusively(path: Path, data: bytes, durable: bool = True) -> bool:
    """Write `path` unless it exists; return True to the one process that made it.

    A hard link from a finished temporary file is atomic on NFS too, and shows no half-written file.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    with _written(path, lambda file: _write_all(file, data), durable) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:  # also on NFS, when its first answer was lost
            return temporary.stat().st_nlink == 2
        return True


def append_line(path: Path, line: str) -> None:
    """Append one line in a single write, so that lines of several writers do not mix.

    A line that a full disk cut off before stays a line of its own.

    Raises:
        StoreError: the file cannot be written or the disk is full.
    """
    with as_store_error(path):
        handle = open_to_append(path)
        try:
            size = os.fstat(handle).st_size
            cut = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            data = b"\n" * cut + f"{line}\n".encode()
            if os.write(handle, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(handle)


def open_to_append(path: Path) -> int:
    """Open a file of a store to append, or make it and its folder; return its handle.

    Raises:
        OddFile: it is a pipe or a device, or a hard link of another file.
        OSError: it is a link, or cannot be opened.
        StoreError: its folder is a link.
    """
    make_folder(path.parent)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | _PLAINLY
    handle = os.open(path, flags, permissions.allowed_mode(_FILE))
    try:
        found = os.fstat(handle)
        _check_regular(found)
        if found.st_nlink > 1:  # of a copy by `cp -al`, or of a file that a neighbour chose
            raise OddFile("has a second name (a hard link)")
    except BaseException:  # Ctrl-C too: the caller never gets it to close
        os.close(handle)
        raise
    return handle


def make_folder(path: Path, mode: int = _FOLDER, again: bool = True) -> None:
    """Make a folder and those above it, unless it is there; Path.mkdir lets others write to them.

    Raises:
        OSError: it cannot be made, or a file is there; a StoreError where a link is.
    """
    try:
        os.mkdir(str(path), permissions.allowed_mode(mode))
    except FileNotFoundError:
        if not again:  # the folder above is there: it is an automounter's, where nobody makes one
            raise
        make_folder(path.parent)
        make_folder(path, mode, again=False)
    except FileExistsError:
        if not is_folder(path):
            raise


def is_folder(path: Path) -> bool:
    """Tell whether a folder of a store is there, a file in its place is not.

    Raises:
        StoreError: it is a link, or in a folder that is closed to this user.
    """
    try:
        found = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror}); let the owner of its folder give you the "
            "right to"
        ) from error
    if stat.S_ISLNK(found):
        raise StoreError(
            f"{path}: is a link, and nothing in a store may be one; put the folder itself there"
        )
    return stat.S_ISDIR(found)


def sync(path: Path) -> None:
    """Wait until the content of a file is on disk and would survive a crash of its host.

    Raises:
        StoreError: the disk failed.
    """
    with as_store_error(path):
        handle = os.open(path, os.O_RDONLY | _PLAINLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def prepare(path: Path, data: bytes) -> Path:
    """Write a temporary file beside `path` and return it, neither on disk nor renamed yet.

    Raises:
        StoreError: the folder cannot be written or the disk is full; the file is removed.
    """
    temporary = _temporary_name(path)
    with as_store_error(path):
        try:
            with _created(temporary) as file:
                _write_all(file, data)
        except BaseException:  # Ctrl-C too: nothing half done stays
            temporary.unlink(missing_ok=True)
            raise
    return temporary


def rename(temporary: Path, path: Path) -> None:
    """Give a file of `prepare` its name, in place of an older file.

    Raises:
        StoreError: the folder cannot be written.
    """
    with as_store_error(path):
        os.replace(temporary, path)


def open_plainly(path: Path | str, follow: bool = False) -> int:
    """Open a regular file to read, without waiting; return its handle.

    Args:
        follow: links too, for data that a user names.

    Raises:
        OddFile: it is a link, a folder, a pipe, a device or a socket.
        OSError: it cannot be opened.
    """
    return _opened(path, follow)[0]


def _opened(path: Path | str, follow: bool) -> tuple[int, os.stat_result]:
    flags = os.O_RDONLY | (_PLAINLY & ~os.O_NOFOLLOW if follow else _PLAINLY)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # the second: of a socket
            what = "is a link" if error.errno == errno.ELOOP else "is not a regular file"
            raise OddFile(what) from None
        raise
    try:
        _check_regular(found := os.fstat(handle))
    except BaseException:  # Ctrl-C too: the caller never gets it to close
        os.close(handle)
        raise
    return handle, found


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OddFile("is not a regular file")


def read_bytes(path: Path | str, most: int = MOST_JSON, follow: bool = False) -> bytes:
    """Read a regular file of at most so many bytes.

    Raises:
        OddFile: it is larger, or as `open_plainly`.
        OSError: it cannot be read.
    """
    handle, found = _opened(path, follow)
    try:
        # Not most + 1: a buffer of 64 MB takes longer to make than most files to read.
        data = os.read(handle, min(found.st_size, most) + 1)
    finally:
        os.close(handle)
    if len(data) > most:
        raise OddFile(f"is larger than {most >> 20} MB")
    return data


def read_json(path: Path | str, follow: bool = False, most: int = MOST_JSON) -> Any:
    """Read a file; None where it is absent, odd or not whole JSON, such as one cut by a full disk.

    Odd ones are noted in `set_aside`, and those of a store that their owner keeps to himself; an
    empty one is what a crash of a host leaves. Numbers fit 64 bits, nesting is at most 200 deep:
    see `bounded_json`.

    Raises:
        StoreError: the disk failed, or this user may not read data that he named (`follow`).
    """
    try:
        data = read_bytes(path, most, follow)
        return bounded_json.parse(data) if data else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OddFile, bounded_json.UnfitJson) as odd:
        set_aside.note(path, str(odd))
        return None
    except OSError as error:
        if isinstance(error, PermissionError) and not follow:
            set_aside.note(path, f"cannot be read ({error.strerror})")
            return None
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}); fix the permissions, then launch "
            "again"
        ) from error


def sha256(path: Path) -> str:
    """Return the hex digest of a file, read a megabyte at a time.

    Raises:
        OddFile: a pipe or a device; OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(open_plainly(path, follow=True), "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _written(path: Path, write: Callable[[IO[bytes]], None], durable: bool) -> Iterator[Path]:
    """Write a temporary file beside `path`; remove it at the end if it is still there."""
    temporary = _temporary_name(path)
    with as_store_error(path):
        try:
            with _created(temporary) as file:
                write(file)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _temporary_name(path: Path) -> Path:
    return path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"


def _created(path: Path) -> IO[bytes]:
    """Create a file, and its folder where there is none, with the permissions of the umask.

    Files of `tempfile` are for their owner only, but a group may share a store.
    """
    try:
        return open(path, "xb", opener=_open)
    except FileNotFoundError:
        make_folder(path.parent)
        return open(path, "xb", opener=_open)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags, permissions.allowed_mode(_FILE))


@contextmanager
def as_store_error(path: Path) -> Iterator[None]:
    """Turn errors of the disk, and odd files, into one sentence."""
    try:
        yield
    except OddFile as odd:
        raise StoreError(f"{path}: {odd}, and is not written through; remove it") from odd
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{path}: is a link, and is not written through; remove it") from error
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); free space or fix the "
            "permissions, then try again"
        ) from error


def _write_all(file: IO[bytes], data: bytes) -> None:
    file.write(data)
