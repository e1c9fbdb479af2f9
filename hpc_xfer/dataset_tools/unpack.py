"""Unpack an archive: everything in it, or nothing.

It is unpacked into a temporary folder beside the archive, whose entries are then moved to their
place. A call that was killed leaves the temporary folder, and the next one begins it anew.
"""

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from hpc_xfer.errors import DataError
from hpc_xfer.system.terminal import ProgressCallback, size

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MOST_MEMBERS = 5_000_000  # ImageNet-21k has 14 million images, in tars of a class each
_PER_BYTE = 200  # unpacked bytes; lists and tables are packed to a tenth, images hardly at all
_ALLOWED = 1 << 30  # unpacked bytes that any archive may have
_LOOKS, _LARGE = 1_000, 1 << 28  # members, or bytes of one, after which space is looked at again
_EXTENDED = (b"x", b"X", b"g", b"L", b"K")  # headers that are read whole
_LONGEST_HEADER = 1 << 20  # bytes of a PAX header or of a long name
# What damaged archives raise.
_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip


def is_archive(name: str) -> bool:
    return name.endswith((*_TARS, ".zip"))


def unpack(archive: Path, to: Path, inside: Sequence[str], progress: ProgressCallback) -> list[str]:
    """Unpack an archive into the folder `to`, or copy a plain file there.

    Args:
        inside: archives in the archive, which are unpacked into `to` as well.
        progress: called with bytes of the archive.

    Returns:
        The names in `to` that came from it.

    Raises:
        DataError: the archive is damaged, would write elsewhere, or the disk is full.
    """
    temporary = archive.with_name(f"{archive.name}.unpacked")
    try:
        _remove(temporary)
        temporary.mkdir(parents=True)
        if is_archive(archive.name):
            _extract(archive, temporary, progress)
            for name in inside:
                _extract(temporary / name, temporary, lambda done, total: None)
                (temporary / name).unlink()
        else:
            shutil.copyfile(archive, temporary / archive.name)
        entries = sorted(path.name for path in temporary.iterdir())
        _move(temporary, to)
    except OSError as error:
        raise DataError(
            f"{to}: {archive.name} cannot be unpacked ({error.strerror or error}); free space or "
            "fix the permissions, then call again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return entries


def _extract(archive: Path, to: Path, progress: ProgressCallback) -> None:
    if not archive.is_file():
        raise DataError(f"{archive}: is not in its archive; fetch the data set again")
    try:
        if archive.name.endswith(".zip"):
            _extract_zip(archive, to, progress)
        else:
            _extract_tar(archive, to, progress)
    except _DAMAGED as error:
        raise DataError(
            f"{archive}: is damaged or cut off ({error}); remove it and fetch again"
        ) from error


def _extract_zip(archive: Path, to: Path, progress: ProgressCallback) -> None:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        _check_number(archive, len(members))
        unpacked = sum(member.file_size for member in members)
        _check_ratio(archive, unpacked, archive.stat().st_size)
        _check_space(archive, to, unpacked)
        done, total = 0, sum(member.compress_size for member in members)
        for member in members:
            _check_name(archive, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DataError(_refused(archive, member.filename, "is a link"))
            file.extract(member, to)
            done += member.compress_size
            if total:
                progress(done, total)


def _extract_tar(archive: Path, to: Path, progress: ProgressCallback) -> None:
    total = archive.stat().st_size
    _check_space(archive, to, total)
    with (
        open(archive, "rb") as raw,
        tarfile.open(fileobj=raw, mode="r:*", tarinfo=_PlainHeader) as file,
    ):
        if hasattr(tarfile, "data_filter"):  # not in the first releases of Python 3.10 and 3.11
            file.extraction_filter = tarfile.data_filter
        written = 0
        for number, member in enumerate(_checked(archive, file), 1):
            _check_number(archive, number)
            written += member.size
            _check_ratio(archive, written, total)
            if number % _LOOKS == 0 or member.size > _LARGE:
                _check_space(archive, to, member.size)
            file.extract(member, to)
            file.members.clear()  # type: ignore[attr-defined]  # it keeps a kB for each
            progress(min(raw.tell(), total), total)


class _PlainHeader(tarfile.TarInfo):
    """A header of a tar; one that goes on for gigabytes is refused: tarfile reads it whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        """Go on with a header; tarfile calls it before it reads what follows."""
        if self.type in _EXTENDED and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"it has a header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]  # missing from its annotations


def _checked(archive: Path, file: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Go through the members; refuse one that writes elsewhere, a device, and any link.

    No data set has links, and two harmless ones can lead outside together.
    """
    while (member := file.next()) is not None:
        _check_name(archive, member.name)
        if member.issym() or member.islnk():
            raise DataError(_refused(archive, member.name, "is a link"))
        if not (member.isfile() or member.isdir()):
            raise DataError(_refused(archive, member.name, "is neither a file nor a folder"))
        member.mode = 0o755 if member.isdir() else 0o644
        yield member


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
        raise DataError(_refused(archive, name, "would be written outside of the folder"))


def _check_ratio(archive: Path, unpacked: int, packed: int) -> None:
    if unpacked > max(_PER_BYTE * packed, _ALLOWED):
        raise DataError(
            f"{archive}: unpacks to {size(unpacked)}, more than {_PER_BYTE} times its size, so "
            "nothing was unpacked; remove the archive"
        )


def _check_number(archive: Path, number: int) -> None:
    if number > _MOST_MEMBERS:
        raise DataError(
            f"{archive}: holds more than {_MOST_MEMBERS:,} files, so nothing was unpacked; remove "
            "the archive"
        )


def _refused(archive: Path, name: str, why: str) -> str:
    return f"{archive}: {name!r} {why}, so nothing was unpacked; remove the archive"


def _check_space(archive: Path, to: Path, needed: int) -> None:
    free = shutil.disk_usage(to).free
    if needed > free:
        raise DataError(
            f"{archive}: {size(needed)} are needed to unpack it, but {size(free)} are free; free "
            "some, or choose another --to"
        )


def _move(source: Path, to: Path) -> None:
    """Move the entries of a folder into another one; an older entry of the same name is replaced.

    Folders of the same name are joined: two archives may fill one folder.
    """
    to.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        target = to / entry.name
        if entry.is_dir() and not entry.is_symlink() and target.is_dir():
            _move(entry, target)
        else:
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            os.replace(entry, target)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
