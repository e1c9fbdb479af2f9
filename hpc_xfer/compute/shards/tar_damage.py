"""Damage of tars: what is wrong, where, and the way out."""

import errno
import os
import tarfile

BLOCK = tarfile.BLOCKSIZE
END_MARK = 2 * BLOCK  # two blocks of zeros end a tar
_AGAIN = "copy it again or remove it"
# Writers fill a tar with zeros up to a whole record: 10,240 bytes in GNU tar, bsdtar and Python.
# `tar --blocking-factor` makes larger ones for tapes, up to 1 MiB.
_RECORD = tarfile.RECORDSIZE
_TAPE_RECORDS = tuple(1 << bits for bits in range(14, 21))
_PIECE = 1 << 20  # bytes of one read
# The first bytes of files that are named .tar and are none.
_SIGNATURES = (
    (b"\x1f\x8b", "it is compressed with gzip: unpack it with `gunzip`"),
    (b"BZh", "it is compressed with bzip2: unpack it with `bunzip2`"),
    (b"\xfd7zXZ\0", "it is compressed with xz: unpack it with `unxz`"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd: unpack it with `unzstd`"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4: unpack it with `unlz4`"),
    (b"PK\x03\x04", "it is a zip file: unpack it with `unzip` and pack it with `tar`"),
    (b"version https://git-lfs", "it is a pointer of Git LFS: run `git lfs pull`"),
    (b"<", "it is a page of HTML or XML, such as a server's answer: download it again"),
)


class DamagedTar(Exception):
    """The tar is cut off or damaged `at` bytes from its start.

    Attributes:
        what: a predicate without the place: "is cut off or damaged".
        remedy: the way out.
    """

    def __init__(self, at: int, what: str = "is cut off or damaged", remedy: str = _AGAIN) -> None:
        super().__init__(at, what, remedy)
        self.at, self.what, self.remedy = at, what, remedy


def without_end_mark(at: int) -> DamagedTar:
    """The file ends where a header or the end mark should follow."""
    return DamagedTar(
        at,
        remedy="it has no end mark: copy it again, or, if it has all samples, add the mark with "
        f"`truncate -s +{END_MARK}`",
    )


def check_first_bytes(handle: int, total: int) -> None:
    """Raises:
    tarfile.ReadError: the file has no header of a tar at its start; it says what it is.
    """
    if total == 0:
        raise tarfile.ReadError("it is empty")
    first = os.pread(handle, BLOCK, 0)
    for signature, what in _SIGNATURES:
        if first.startswith(signature):
            raise tarfile.ReadError(what)
    if total < BLOCK:
        raise tarfile.ReadError(f"it has {total:,} bytes, and a tar has {BLOCK} or more")
    raise tarfile.ReadError("it does not begin with the header of a tar")


def check_tail(handle: int, end: int, total: int) -> None:
    """Look at all that follows the end mark at `end`.

    Zeros are padding as far as a writer pads. A preallocated file of which only the first part was
    written has a longer tail of zeros.

    Raises:
        DamagedTar: data follows, or more zeros than padding has.
        OSError: it cannot be read.
    """
    at = end
    while at < total and (at := _next_data(handle, at, total)) < total:
        piece = os.pread(handle, min(_PIECE, total - at), at)
        if not piece:
            break  # the file shrank meanwhile
        zeros = len(piece) - len(piece.lstrip(b"\0"))
        at += zeros
        if zeros < len(piece):
            raise DamagedTar(
                at,
                f"holds data after its end, at byte {at:,},",
                "a part was never written, or tars were joined: copy it again, or unpack it with "
                "`tar --ignore-zeros` and pack it again",
            )
    if not is_padding(end, total):
        raise DamagedTar(
            end,
            f"holds nothing but zeros from byte {end:,} to its end at byte {total:,},",
            "that is more than padding, so its last part was never written: copy it again, or, if "
            f"it has all samples, run `truncate -s {end + END_MARK}` on it",
        )


def is_padding(end: int, total: int) -> bool:
    """Tell whether a writer may have filled a tar from its end mark to the end of the file."""
    zeros = total - end
    return is_usual_padding(zeros) or any(
        end > 0 and total % record == 0 and zeros < record + END_MARK for record in _TAPE_RECORDS
    )


def is_usual_padding(zeros: int) -> bool:
    """Tell whether so many zeros, with the end mark, are what writers pad to by default."""
    return zeros < _RECORD + END_MARK


def _next_data(handle: int, at: int, total: int) -> int:
    """Offset of the next bytes that are on the disk; holes of a sparse file need not be read."""
    try:
        return os.lseek(handle, at, os.SEEK_DATA)
    except OSError as error:  # a hole up to the end, or a file system that tells no holes
        return total if error.errno == errno.ENXIO else at
