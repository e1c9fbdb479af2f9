"""Read an image file: a regular file of bounded size, which may be a link."""

from pathlib import Path

from hpc_xfer.compute.images import limits
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.atomic_files import OddFile


def read(path: Path) -> bytes:
    """Read the bytes of an image.

    Raises:
        DataError: it is a pipe, a device, or too large.
        OSError: it cannot be read.
    """
    try:
        return atomic_files.read_bytes(path, limits.FILE, follow=True)
    except OddFile as odd:
        raise DataError(f"{path}: {odd}; replace or remove it") from None
