"""Keep what was made of records until a file that it came from changes.

    cache = RecordCache.open(store.study("tiny"))
    part = cache.get("parts", key)          # None: make it, then cache.put("parts", key, part)
    cache.save()

A key stands for all that its value depends on: names, sizes, times and inodes of files (records are
written once, by os.replace, so another content is another inode), names of the plan, other values.
The code of this package is part of every file. So nothing in the cache is ever out of date, and
deleting it changes no table. Values are spread over files, so that one new record rewrites one of
them. Each is replaced as a whole: two commands at once each leave whole ones, and a damaged,
foreign or older one is ignored.
"""

import contextlib
import functools
import hashlib
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import from_json, to_json

import hpc_xfer
from hpc_xfer.errors import StoreError
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.system import atomic_files
from hpc_xfer.system.permissions import other_writer

_CODE = ("config", "results", "store", "study")  # folders whose code makes what is kept
_MOST_BYTES = 4 << 30
_CUT = b"\x00"  # between the values of a file; JSON has none
T = TypeVar("T")


@dataclass
class _CacheFile:
    """The values of one file by key, as JSON; those that nobody asks for are dropped at the end."""

    found: Mapping[str, bytes] = field(default_factory=dict)
    used: dict[str, bytes] = field(default_factory=dict)
    changed: bool = False


@dataclass
class RecordCache:
    """Values by file and key."""

    folder: Path | None = None  # None: nothing is kept
    trusts_members: bool = False  # see Site.trust_store_members
    _files: dict[str, _CacheFile] = field(default_factory=dict)

    @classmethod
    def open(cls, study: StudyDir | None, trusts_members: bool = False) -> "RecordCache":
        """Open the cache of a study; nothing is read yet."""
        return cls(None if study is None else study.record_cache, trusts_members)

    def get(self, name: str, key: str) -> Any | None:
        """Take a value from the file of that name; None where it is not there."""
        file = self._file(name)
        text = file.used.get(key) or file.found.get(key)
        if text is None:
            return None
        file.used[key] = text
        return from_json(text)

    def put(self, name: str, key: str, value: Any) -> None:
        file = self._file(name)
        text = to_json(value)
        file.used[key] = text
        file.changed |= text != file.found.get(key)

    def rows(
        self, name: str, key: str, kind: Callable[..., T], make: Callable[[], list[T]]
    ) -> list[T]:
        """Take rows, which are dataclasses of plain values; make them where they are not there."""
        told = self.get(name, key)
        if told is not None:
            return [kind(*values) for values in told]
        made = make()
        self.put(name, key, [list(vars(row).values()) for row in made])
        return made

    def save(self) -> None:
        """Write the files with new values; a store that cannot be written stays without."""
        if self.folder is None or not self.folder.parent.is_dir():
            return  # a study without a folder was not launched, and must not look as if it were
        with contextlib.suppress(StoreError, OSError):
            for name, file in self._files.items():
                if file.changed or len(file.used) < len(file.found):
                    pairs = (key.encode() + b" " + text for key, text in file.used.items())
                    data = _CUT.join(pairs)
                    atomic_files.write_bytes(self.folder / name, _head(data) + data, durable=False)
            for path in self.folder.iterdir():
                if path.name not in self._files and not path.name.startswith("."):
                    path.unlink(missing_ok=True)

    def _file(self, name: str) -> _CacheFile:
        if name not in self._files:
            found = {} if self.folder is None else self._read(self.folder / name)
            self._files[name] = _CacheFile(found)
        return self._files[name]

    def _read(self, path: Path) -> dict[str, bytes]:
        """Read the values of a file; none of an odd one, or one that others may have written."""
        with contextlib.suppress(OSError, ValueError):
            with open(atomic_files.open_plainly(path), "rb") as file:
                if other_writer(os.fstat(file.fileno()), file.fileno(), self.trusts_members):
                    return {}
                head, _, data = file.read(_MOST_BYTES).partition(b"\n")
            if head + b"\n" == _head(data):
                pairs = (each.partition(b" ") for each in data.split(_CUT) if each)
                return {key.decode(): text for key, _, text in pairs}
        return {}


def key_of(*parts: object) -> str:
    """A key from all that a value depends on; these are strings, numbers, or tuples of them."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def stat_of(path: str) -> tuple[int, int, int] | None:
    """Signature of a file, which changes with its content; None where none can be seen."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _head(data: bytes) -> bytes:
    return f"{_code()} {len(data)} {zlib.crc32(data)}\n".encode()


@functools.cache
def _code() -> str:
    """Stands for the code that makes what is kept: no number to count up by hand."""
    digest = hashlib.sha256()
    root = Path(hpc_xfer.__file__).parent
    for folder in _CODE:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
