"""Walk over the files of a store, and count bytes and names; no link is followed."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 512  # bytes; `st_blocks` counts these on every file system


@dataclass
class Size:
    """Bytes on disk, as `du` counts them, and files and folders together: both have quotas."""

    bytes: int = 0
    files: int = 0

    def add(self, other: "Size") -> None:
        self.bytes += other.bytes
        self.files += other.files

    def as_json(self) -> dict[str, int]:
        return {"bytes": self.bytes, "files": self.files}


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """A file or folder."""

    path: str
    bytes: int  # on disk
    modified: float  # by the clock of the file server
    is_folder: bool

    @property
    def size(self) -> Size:
        return Size(self.bytes, 1)


def walk(folder: Path | str) -> Iterator[StoreEntry]:
    """Yield all that is in a folder, each folder before what is in it.

    What vanishes meanwhile, and what is closed to this user, is left out.
    """
    try:
        with os.scandir(folder) as entries:
            names = list(entries)
    except OSError:
        return
    for name in names:
        try:
            status = name.stat(follow_symlinks=False)
        except OSError:
            continue
        is_folder = stat.S_ISDIR(status.st_mode)
        yield StoreEntry(name.path, status.st_blocks * _BLOCK, status.st_mtime, is_folder)
        if is_folder:
            yield from walk(name.path)


def total(sizes: Iterable[Size]) -> Size:
    """Add up sizes."""
    found = Size()
    for size in sizes:
        found.add(size)
    return found


def size_of(path: Path) -> Size:
    """Return the size of a file, or of a folder with all that is in it; none of what is absent."""
    try:
        status = os.lstat(path)
    except OSError:
        return Size()
    inside = walk(path) if stat.S_ISDIR(status.st_mode) else ()
    return total([Size(status.st_blocks * _BLOCK, 1), *(entry.size for entry in inside)])
