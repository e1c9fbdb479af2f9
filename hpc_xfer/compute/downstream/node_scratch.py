"""Copies of decoded images on the scratch disk of this node, and what becomes of them.

    TMPDIR/hpc_xfer-<tag of the store>/<hash of what it is>/array

All jobs of a store on the node read the same copies. No job can know that it is the last one there,
so copies stay; each job removes those that none has opened for a week, also of other stores.
"""

import logging
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hpc_xfer.errors import StoreError
from hpc_xfer.system import atomic_files

log = logging.getLogger(__name__)
_KEPT_DAYS = 7
_OURS = re.compile(r"hpc_xfer-[0-9a-f]{6}")
_COPY = re.compile(r"[0-9a-f]{32}")


def folder_of(tag: str) -> Path | None:
    """Make the folder for the copies of a store; None where scratch does not take it safely.

    Copies that no job has opened for a week are removed first.
    """
    scratch = Path(tempfile.gettempdir())
    _remove_old(scratch)
    return _own_folder(scratch / f"hpc_xfer-{tag}")


def mark_read(copy: Path) -> None:
    """Note that a job has opened this copy."""
    with suppress(OSError):  # it is removed a week too early, and copied again
        os.utime(copy, follow_symlinks=False)


def _own_folder(folder: Path) -> Path | None:
    """Make a folder that nobody else can write to; None where another user has made it.

    Scratch may be shared by all users of the node, who can tell the name beforehand.
    """
    try:
        atomic_files.make_folder(folder, mode=0o700)
    except (OSError, StoreError):
        return None
    return folder if _is_own(folder) and not folder.lstat().st_mode & 0o022 else None


def _is_own(folder: Path) -> bool:
    """Say whether this is a folder of this user, and no link."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and stat.S_ISDIR(status.st_mode)


def _remove_old(scratch: Path) -> None:
    before = time.time() - _KEPT_DAYS * 86400  # of this host's disk, by this host's clock
    removed = size = 0
    for store in _folders(scratch, _OURS):
        for copy in _folders(store, _COPY):
            if (taken := _size_if_old(copy, before)) is not None:
                shutil.rmtree(copy, ignore_errors=True)
                removed, size = removed + 1, size + taken
        with suppress(OSError):
            if store.lstat().st_mtime < before:
                store.rmdir()  # fails where a copy is left
    if removed:
        log.info(
            "%s: %s: removed %d copies of decoded images (%.1f GB) that no job has opened for "
            "%d days", socket.gethostname(), scratch, removed, size / 1e9, _KEPT_DAYS,
        )  # fmt: skip


def _folders(parent: Path, name: re.Pattern[str]) -> Iterator[Path]:
    """Folders of this user with such a name."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if name.fullmatch(entry.name) and _is_own(Path(entry.path)):
                yield Path(entry.path)


def _size_if_old(copy: Path, before: float) -> int | None:
    """Tell the bytes of a copy that was last opened before a time; None of a newer one."""
    try:
        if copy.lstat().st_mtime >= before:
            return None
        return (copy / "array").lstat().st_size
    except FileNotFoundError:
        return 0
    except OSError:
        return None
