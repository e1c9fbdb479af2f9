"""The clock of the file server: the one clock that all hosts share, as it dates every file.

    server_time(folder) - path.stat().st_mtime      # age of a file in the folder, on any host

The clocks of two hosts may differ by an hour. A file system that dates files by the clock of the
host that writes them (Lustre) has no clock of its own; there the clocks of the hosts must agree.
"""

import os
import time
from pathlib import Path

_KEPT_SECONDS = 60.0  # in which two clocks drift apart by less than a millisecond
_measured: dict[int, tuple[float, float]] = {}  # device -> monotonic clock and file server's time


def server_time(folder: Path) -> float:
    """Return the time, in seconds since 1970, by which the file system of a folder dates files.

    A file is made and removed in the folder, or in the first folder above that exists, at most once
    a minute for each file system. Where that is not possible, this host's own clock is read.
    """
    try:
        folder = _existing(folder)
        device = folder.stat().st_dev
        known = _measured.get(device)
        if known is None or time.monotonic() - known[0] > _KEPT_SECONDS:
            dated = _date_of_new_file(folder)
            known = _measured[device] = (time.monotonic(), dated)
    except OSError:
        return time.time()
    return known[1] + time.monotonic() - known[0]


def _existing(folder: Path) -> Path:
    return next((each for each in (folder, *folder.parents) if each.is_dir()), folder)


def _date_of_new_file(folder: Path) -> float:
    path = folder / f".clock.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        path.unlink(missing_ok=True)
