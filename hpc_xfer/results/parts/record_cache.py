"""Keep what was made of records until a file that it came from changes.

    cache = RecordCache.open(store.study("tiny"))
    part = cache.get(key)          # None: make it, then cache.put(key, part)
    cache.save()

A key stands for all that its value depends on: names, sizes, times and inodes of files (records are
written once, by os.replace, so another content is another inode), names of the plan, other values.
The code of this package is part of every key. So nothing in the cache is ever out of date, and
deleting it changes no table. The file is replaced as a whole: two commands at once each leave a
whole one, and a damaged, foreign or older one is ignored.
"""

import contextlib
import functools
import hashlib
import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json

import hpc_xfer
from hpc_xfer.errors import StoreError
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.system import atomic_files

_CODE = ("config", "results", "store", "study")  # folders whose code makes what is kept


@dataclass
class RecordCache:
    """Values by key, one JSON text each; those that nobody asked for are dropped at the end."""

    path: Path | None = None  # None: nothing is kept
    _found: dict[str, bytes] = field(default_factory=dict)
    _used: dict[str, bytes] = field(default_factory=dict)
    _changed: bool = False

    @classmethod
    def open(cls, study: StudyDir | None) -> "RecordCache":
        """Read the cache of a study; it is empty where it is absent or cannot be used."""
        if study is None:
            return cls()
        return cls(study.record_cache, _read(study.record_cache))

    def get(self, key: str) -> Any | None:
        text = self._used.get(key) or self._found.get(key)
        if text is None:
            return None
        self._used[key] = text
        return from_json(text)

    def put(self, key: str, value: Any) -> None:
        self._used[key] = json.dumps(value, separators=(",", ":")).encode()
        self._changed |= self._used[key] != self._found.get(key)

    def save(self) -> None:
        """Write what was used; a store that cannot be written stays without."""
        is_new = self._changed or len(self._used) < len(self._found)
        if self.path is None or not is_new or not self.path.parent.parent.is_dir():
            return  # a study without a folder was not launched, and must not look as if it were
        lines = b"".join(b"%b %b\n" % (key.encode(), text) for key, text in self._used.items())
        with contextlib.suppress(StoreError):
            atomic_files.write_bytes(self.path, _head(lines) + lines, durable=False)


def key_of(*parts: object) -> str:
    """A key from all that a value depends on; these are strings, numbers, or tuples of them."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def stat_of(path: str) -> tuple[int, int, int] | None:
    """What changes with the content of a file; None where there is none."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> dict[str, bytes]:
    with contextlib.suppress(OSError, ValueError):
        head, _, lines = path.read_bytes().partition(b"\n")
        if head + b"\n" == _head(lines):
            pairs = (line.partition(b" ") for line in lines.split(b"\n") if line)
            return {key.decode(): text for key, _, text in pairs}
    return {}


def _head(lines: bytes) -> bytes:
    return f"{_code()} {len(lines)} {zlib.crc32(lines)}\n".encode()


@functools.cache
def _code() -> str:
    """Stands for the code that makes what is kept: no number to count up by hand."""
    digest = hashlib.sha256()
    root = Path(hpc_xfer.__file__).parent
    for folder in _CODE:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
