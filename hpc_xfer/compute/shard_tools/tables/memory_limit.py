"""Bound the memory that reading a file takes, whatever the file says about itself.

    with at_most(path):
        ...            # Arrow reads here; a DataError where it asks for more

A page of a kilobyte can unpack to gigabytes, and neither the page nor the footer has to say so. So
the system is asked for the bound: it refuses memory beyond it, and Arrow raises an error.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpc_xfer.errors import DataError

MOST = 2 << 30  # bytes; a table of 15 million rows in one row group takes 0.1 GB
_DATA = 5  # place of the data segment, in pages, in /proc/self/statm


@contextmanager
def at_most(path: Path | str, most: int = MOST) -> Iterator[None]:
    """Let this process take so many bytes more than it has.

    Raises:
        DataError: it asked for more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = _used()
    if used is not None:
        bounds = [used + most, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield
    except MemoryError as error:
        raise DataError(
            f"{path}: takes more than {most >> 30} GB of memory to read; write it again in smaller "
            "row groups, with pages of at most 1 MB"
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _used() -> int | None:
    """Count the bytes that the limit counts; None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[_DATA]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
