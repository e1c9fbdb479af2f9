"""Write a file that only its owner can read, from its first byte on: it may hold secrets."""

import contextlib
import os
from pathlib import Path

_PRIVATE = 0o600


def write_private(path: Path, data: bytes) -> None:
    """Replace a file, or what others put under its name, by one that is for its owner alone.

    Raises:
        OSError: it cannot be written; there may be a folder under its name.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb", opener=_open_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a crash of this host may leave an empty one
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
