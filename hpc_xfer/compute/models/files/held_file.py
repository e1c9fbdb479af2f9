"""Read a file of tensors through one handle: what was checked is what is loaded, and hashed.

with held(path) as file:
    state = file.load()            # torch's archive, weights only
    file.sha256()
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from hpc_xfer.compute.models.files import pickle_check
from hpc_xfer.config.released.zip_layout import OddArchive, checked_archive, opened, stored_members
from hpc_xfer.system import atomic_files

_READ = 1 << 20
_LITTLE = b"little"


@dataclass(frozen=True)
class HeldFile:
    """A file that is open: another one that gets its name meanwhile is not read."""

    file: IO[bytes]

    @property
    def place(self) -> str:
        """A path of this very file, for libraries that take no handle."""
        return f"/proc/self/fd/{self.file.fileno()}"

    def sha256(self) -> str:
        digest = hashlib.sha256()
        self.file.seek(0)
        while block := self.file.read(_READ):
            digest.update(block)
        return digest.hexdigest()

    def is_archive(self) -> bool:
        self.file.seek(0)
        return self.file.read(4) == b"PK\x03\x04"

    def load(self, touch: Callable[[], object] = lambda: None, data: Sequence[Any] = ()) -> Any:
        """Check the file and load its tensors to the CPU.

        torch can be told to leave the sums out of a file; they are 0 there.

        Args:
            touch: called now and then while it reads, as a sign of life.
            data: further classes of plain data (torch.serialization.safe_globals).

        Raises:
            NotPlainData: it holds more than tensors and plain data.
            Exception: any error of zipfile, pickle and torch: it is damaged or made to harm.
        """
        self.check(touch)
        self.file.seek(0)
        with torch.serialization.safe_globals(list(data)):
            return torch.load(self.place, map_location="cpu", weights_only=True)

    def check(self, touch: Callable[[], object] = lambda: None) -> None:
        """Check layout, sums and pickle. Raises: as `load`."""
        if self.is_archive():
            with checked_archive(self.file) as archive:
                check_sums(archive, touch)
                _check_content(archive)
        else:
            size = self.file.seek(0, os.SEEK_END)
            self.file.seek(0)
            pickle_check.check_legacy(self.file, size)


@contextmanager
def held(path: Path, follow: bool = False) -> Iterator[HeldFile]:
    """Open a regular file.

    Args:
        follow: links too, for files that a user names.

    Raises:
        OddFile: it is a link, a pipe or no file.
        OSError: it cannot be opened.
    """
    with open(atomic_files.open_plainly(path, follow), "rb") as file:
        yield HeldFile(file)


def check_sums(archive: zipfile.ZipFile, touch: Callable[[], object] = lambda: None) -> None:
    """Compare members with their sums, which torch.load does not.

    Raises:
        BadZipFile: a sum is wrong.
    """
    for member in stored_members(archive):
        if member.CRC == 0:
            continue
        with archive.open(member) as file:  # which checks the sum at the end
            while len(file.read(_READ)) == _READ:
                touch()


def _check_content(archive: zipfile.ZipFile) -> None:
    """Check the pickle of an archive against the bytes of its storages."""
    sizes = {member.filename: member.file_size for member in stored_members(archive)}
    folder = next(iter(sizes), "").split("/")[0]
    order = f"{folder}/byteorder"
    if order in sizes and (sizes[order] > 10 or opened(archive, order).read() != _LITTLE):
        raise OddArchive("is of a machine with another order of bytes")

    def bytes_of(key: str, wanted: int) -> int:
        return sizes.get(f"{folder}/data/{key}", 0)

    with opened(archive, f"{folder}/data.pkl") as file:
        pickle_check.check_pickle(file, bytes_of)
