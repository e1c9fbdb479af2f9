"""What lies where in a tar: its headers, read one after another, no data.

tarfile stops in silence at a header that is cut off or damaged, so the end is checked here.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Member(NamedTuple):
    """One entry of a tar."""

    name: str
    offset: int  # of its data, in bytes
    size: int  # of its data, in bytes
    kind: str  # file | folder | link | other


class CutOff(Exception):
    """The tar ends, or stops making sense, `at` bytes from its start."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def members(path: Path) -> Iterator[Member]:
    """Every member that is whole, in order.

    Raises:
        CutOff: after the last member that is whole.
        OSError, tarfile.TarError: not there, or no uncompressed tar at all.
    """
    size = path.stat().st_size
    with _opened(path) as tar:
        read = 0  # bytes
        while True:
            try:
                member = tar.next()
            except (tarfile.TarError, ValueError, OverflowError) as error:  # of absurd sizes
                raise CutOff(read) from error
            if member is None:
                read = tar.offset
                break
            if tar.offset <= read:  # a size below 0 would lead in circles
                raise CutOff(read)
            read = tar.offset
            tar.members = []  # type: ignore[attr-defined]  # it keeps them all: 1 kB each
            if member.offset_data + member.size > size:
                raise CutOff(member.offset)
            yield Member(member.name, member.offset_data, member.size, _kind(member))
    with open(path, "rb") as file:
        file.seek(read)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise CutOff(read)


def _opened(path: Path) -> tarfile.TarFile:
    """It reads the first header."""
    try:
        return tarfile.open(path, "r:")
    except (ValueError, OverflowError) as error:
        raise tarfile.ReadError(str(error)) from error


def _kind(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return "file"
    if member.isdir():
        return "folder"
    return "link" if member.issym() or member.islnk() else "other"
