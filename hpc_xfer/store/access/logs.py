"""Open and read the logs of a study: their names can be told beforehand, so links are not followed.

with open_log(study.logs / "local-812-1.log") as errors: ...
last_lines(study.logs / "10_3.out", 15)
"""

import os
from pathlib import Path
from typing import IO

from hpc_xfer.system import atomic_files, set_aside

_TAIL = 64 << 10  # bytes; 30 lines of a traceback have 3,000


def open_log(path: Path) -> IO[str]:
    """Open a log for a process that appends to it.

    Raises:
        StoreError: it cannot be written, or is not ours: a link, a pipe.
    """
    with atomic_files.as_store_error(path):
        return open(atomic_files.open_to_append(path), "a", encoding="utf-8")


def last_lines(path: Path, count: int) -> list[str]:
    """Read the end of a log; none where it is absent, or odd, which is noted in `set_aside`."""
    try:
        with open(atomic_files.open_plainly(path), "rb", buffering=0) as file:
            start = max(0, os.fstat(file.fileno()).st_size - _TAIL)
            data = os.pread(file.fileno(), _TAIL, start)
    except atomic_files.OddFile as odd:
        set_aside.note(path, str(odd))
        return []
    except OSError:
        return []
    lines = data.decode("utf-8", errors="replace").splitlines()
    return lines[1 if start else 0 :][-count:]
