"""Check the layout of a zip archive of tensors before anything in it is read.

    with checked_archive(file) as archive: ...

torch stores members as they are, one after another. A compressed member may be a bomb: kilobytes
that become gigabytes. Two readers may find two different contents in an archive whose lists differ,
and Python's and torch's readers are two.
"""

import copy
import os
import struct
import zipfile
from typing import IO, Any

MOST_MEMBERS = 100_000  # a checkpoint of 1,000 layers with its optimizer has 10,000
_MOST_LIST = 32 << 20  # bytes of the list of members
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCAL = 30  # bytes before the name of a member
_ENCRYPTED = 0x1


class OddArchive(zipfile.BadZipFile):
    """An archive as torch does not write it."""


def checked_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Open an archive in which all members are stored, one after another.

    Raises:
        BadZipFile: it is damaged, or of another layout.
    """
    archive = listed_archive(file)
    try:
        _check_members(archive.infolist(), archive.start_dir)
    except BaseException:  # Ctrl-C too: the caller never gets it to close
        archive.close()
        raise
    return archive


def listed_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Open an archive whose list of members is where all readers find it: at the very end.

    Raises:
        BadZipFile: it is elsewhere, or too long.
    """
    _check_list(file)
    return zipfile.ZipFile(file)


def _check_list(file: IO[bytes]) -> None:
    size = file.seek(0, os.SEEK_END)
    end = _unpacked(file, _END, size - _END.size)
    if end is None or end[0] != b"PK\5\6" or end[-1]:
        raise OddArchive("File is not a zip file")
    length, begin, count, at = end[5], end[6], end[4], size - _END.size
    locator = _unpacked(file, _LOCATOR, at - _LOCATOR.size)
    if locator is not None and locator[0] == b"PK\6\7":
        at -= _LOCATOR.size + _END64.size
        end64 = _unpacked(file, _END64, at)
        if end64 is None or end64[0] != b"PK\6\6" or locator[2] != at:
            raise OddArchive("the lists of its members do not fit together")
        count, length, begin = end64[7], end64[8], end64[9]
    if begin + length != at:
        raise OddArchive("the lists of its members do not fit together")
    if count > MOST_MEMBERS or length > _MOST_LIST:
        raise OddArchive(f"has more than {MOST_MEMBERS:,} members")


def _unpacked(file: IO[bytes], form: struct.Struct, at: int) -> tuple[Any, ...] | None:
    if at < 0:
        return None
    file.seek(at)
    data = file.read(form.size)
    return form.unpack(data) if len(data) == form.size else None


def _is_stored(member: zipfile.ZipInfo) -> bool:
    plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & _ENCRYPTED
    return plain and member.compress_size == member.file_size


def _is_program(member: zipfile.ZipInfo) -> bool:
    """True for the code in a TorchScript archive, which is compressed, and which nobody reads."""
    return member.filename.split("/")[1:2] == ["code"]


def stored_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """List the members that are read: all but the code of a TorchScript archive."""
    return [member for member in archive.infolist() if not _is_program(member)]


def opened(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a member whose sum was compared, or that has none: torch can be told to leave it out.

    Raises:
        KeyError: there is no such member.
    """
    member = copy.copy(archive.getinfo(name))
    del member.CRC  # else a missing sum is a wrong one
    return archive.open(member)


def _check_members(members: list[zipfile.ZipInfo], begin_of_list: int) -> None:
    if len({member.filename.lower() for member in members}) < len(members):
        raise OddArchive("has two members of one name")
    if len({member.filename.split("/")[0] for member in members}) > 1:
        raise OddArchive("has members beside its folder")  # torch reads one
    before = 0
    for member in sorted(members, key=lambda each: each.header_offset):
        if not _is_stored(member) and not _is_program(member):
            raise OddArchive("has compressed members, which torch does not write")
        if member.header_offset < before:
            raise OddArchive("has members that overlap")
        before = member.header_offset + _LOCAL + len(member.orig_filename) + member.compress_size
    if before > begin_of_list:
        raise OddArchive("has members that are longer than the file")
