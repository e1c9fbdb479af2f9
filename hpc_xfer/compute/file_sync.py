"""Wait until files are on disk, many at once."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer.system import atomic_files


def sync_all(paths: Sequence[Path]) -> None:
    """Wait until these files of one file system are on disk.

    One call of syncfs costs as much as one fsync, however many files there are.

    Raises:
        StoreError: the disk failed.
    """
    if not paths:
        return
    if len(paths) == 1 or not _sync_file_system(paths[0]):
        for path in paths:
            atomic_files.sync(path)


def _sync_file_system(path: Path) -> bool:
    """Call syncfs; False where it fails, or where the C library has none."""
    try:
        syncfs = ctypes.CDLL(None).syncfs
        handle = atomic_files.open_plainly(path)
    except (AttributeError, OSError, atomic_files.OddFile):
        return False
    try:
        return int(syncfs(handle)) == 0
    finally:
        os.close(handle)
