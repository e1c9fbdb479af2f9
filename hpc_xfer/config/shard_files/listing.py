"""List the shards of a source's folder: those that are used, and what lies there and is not.

    used = list_shards(folder)                    # {"00000.tar": 104857600, ...}
    for each in unused(folder, used):
        print(each.sentence(folder))

Without a pattern the shards are `*.tar`, or `*/*.tar` where the folder itself holds none.
"""

import errno
import os
import re
import shlex
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.config.shard_files import shard_patterns
from hpc_xfer.errors import DataError

# A folder that is not a source may hold millions of files; a network file system lists some
# 10,000 names a second.
_MOST_FOLDERS, _MOST_NAMES = 1000, 100_000
_GOES_ON = re.compile(r"\.tar\W")  # a.tar.1, a.tar~, a.tar (1), a.tar.bak
_OWN = frozenset({".index", ".making"})  # see shard_index.py
_COMPRESSED = (
    *(".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".taz", ".tlz"),
    *(f".tar.{each}" for each in ("gz", "bz2", "xz", "zst", "lz4", "lzma", "z", "lz", "br")),
)
_ARCHIVES = (".zip", ".7z", ".rar", ".tfrecord", ".tfrecords")
_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".incomplete")
_BESIDE_SHARDS = (".idx", ".json", ".parquet", ".txt", ".log", ".csv", ".md5", ".sha1", ".sha256")
_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2")


@dataclass(frozen=True)
class Kind:
    """A kind of thing in a source's folder that is not read."""

    one: str
    many: str
    way: str  # what to do about it


BESIDE = Kind("shard beside the pattern {}", "shards beside the pattern {}", "")
DEEPER = Kind(
    "shard in a deeper folder",
    "shards in deeper folders",
    "use all of them by a pattern: `python -m hpc_xfer.shards index {}`",
)
LOST = Kind(
    "link that leads nowhere", "links that lead nowhere", "bring the file back or remove the link"
)
UNREADABLE = Kind(
    "thing that cannot be read", "things that cannot be read", "correct its permissions"
)
HIDDEN = Kind(
    "hidden shard", "hidden shards", "rename it, without the dot at the start, or remove it"
)
UPPER_CASE = Kind(
    "name that ends in .tar in capitals", "names that end in .tar in capitals", "rename it to .tar"
)
COMPRESSED = Kind("compressed shard", "compressed shards", "unpack it to a plain .tar")
UNFINISHED = Kind(
    "unfinished download of a shard", "unfinished downloads of shards", "finish or remove it"
)
COPY = Kind(
    "file whose name goes on after .tar",
    "files whose names go on after .tar",
    "rename it to .tar or remove it",
)
ARCHIVE = Kind("archive of another kind", "archives of another kind", "pack it as .tar")
FOLDER = Kind("folder named like a shard", "folders named like a shard", "pack it as .tar")
NO_FILE = Kind(
    "thing named like a shard that is not a file",
    "things named like a shard that are not files",
    "remove it",
)
LOOSE = Kind(
    "image outside of shards",
    "images outside of shards",
    "pack them with `python -m hpc_xfer.shards make`",
)
UNSEEN = Kind(
    "folder was not looked into, for there are very many names: it",
    "folders were not looked into, for there are very many names: they",
    "keep other files elsewhere",
)


@dataclass(frozen=True)
class UnusedFiles:
    """Things of one kind that are not read."""

    kind: Kind
    count: int
    first: str  # relative to the folder
    pattern: str | None = None  # that the source was indexed with

    def sentence(self, folder: Path) -> str:
        what = (self.kind.one if self.count == 1 else self.kind.many).format(repr(self.pattern))
        verb = "is" if self.count == 1 else "are"
        way = self.kind.way.format(shlex.quote(f"{folder}/**/*.tar"))
        return (
            f"{folder}: {self.count:,} {what} {verb} not used, the first {self.first}"
            f"{f'; {way}' if way else ''}"
        )


def list_shards(folder: Path, pattern: str | None = None) -> dict[str, int]:
    """List the shards that are used: bytes by name, sorted by name.

    Args:
        pattern: of the names below the folder, as `{000..099}.tar` or `*/*.tar`.

    Raises:
        DataError: there is no such folder, or the pattern is wrong.
    """
    if not folder.is_dir():
        if shard_patterns.looks_like_one(str(folder)):
            folder_of_it, _ = shard_patterns.split(str(folder))
            raise DataError(
                f"{folder}: is a pattern; run `python -m hpc_xfer.shards index "
                f"{shlex.quote(str(folder))}` once, and name {folder_of_it} in the site file"
            )
        raise DataError(f"{folder}: no such folder; correct the path in the site file")
    if pattern is not None:
        return _with_sizes(folder, shard_patterns.names(folder, pattern))
    top = _with_sizes(folder, _glob(folder, "*.tar"))
    return top or _with_sizes(folder, _glob(folder, "*/*.tar"))


def unused(
    folder: Path, used: Collection[str], pattern: str | None = None
) -> tuple[UnusedFiles, ...]:
    """List by kind what looks like data in the folder and is not used."""
    used = frozenset(used)
    found: dict[Kind, list[str]] = {}
    with_used = {str(Path(name).parent) for name in used}
    for name, kind in _strange(folder, used, pattern):
        if kind is not FOLDER or name not in with_used:
            found.setdefault(kind, []).append(name)
    return tuple(
        UnusedFiles(kind, len(names), min(names), pattern) for kind, names in found.items()
    )


def no_shards(folder: Path, way: str) -> str:
    """Say that a folder holds no shards, and what it holds instead.

    Args:
        way: out of it, where nothing there looks like data.
    """
    others = unused(folder, ())
    if not others:
        return f"{folder}: holds no .tar shards; {way}"
    told = "; ".join(each.sentence(folder).removeprefix(f"{folder}: ") for each in others)
    return f"{folder}: holds no .tar shards that can be used: {told}"


def link_target(path: Path) -> str | None:
    """The place that a link names which leads nowhere; None for anything else."""
    if not path.is_symlink() or path.exists():
        return None
    return os.readlink(path)


def _with_sizes(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Keep the files; of what is left out `unused` tells."""
    sizes = {}
    for name in sorted(names):
        try:
            status = os.stat(folder / name)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            sizes[name] = status.st_size
    return sizes


def _glob(folder: Path, pattern: str) -> list[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.glob(pattern))
    return [name for name in found if not _is_hidden(name)]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _strange(
    folder: Path, used: Collection[str], pattern: str | None
) -> Iterator[tuple[str, Kind]]:
    """Yield the name and kind of each thing that is not used, folder by folder."""
    waiting, known, names, listed = [""], set[tuple[int, int]](), 0, 0
    while waiting:
        here = waiting.pop()
        if names > _MOST_NAMES or listed >= _MOST_FOLDERS:
            yield here, UNSEEN
            continue
        try:
            status = os.stat(folder / here)
            entries = sorted(os.scandir(folder / here), key=lambda entry: entry.name)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # removed by now
                yield here, UNREADABLE
            continue
        if (status.st_dev, status.st_ino) in known:  # a link leads round and round
            continue
        known.add((status.st_dev, status.st_ino))
        names, listed = names + len(entries), listed + 1
        for entry in entries:
            name = f"{here}/{entry.name}" if here else entry.name
            if name in used or entry.name in _OWN:
                continue
            if _is_folder(entry):
                waiting.append(name)
            if (kind := _kind(entry, name, pattern)) is not None:
                yield name, kind


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _kind(entry: os.DirEntry[str], name: str, pattern: str | None) -> Kind | None:
    """Tell what a thing is that is not used; None where it does not look like data."""
    lower = entry.name.lower()
    if not lower.endswith(".tar"):
        return None if _is_folder(entry) else _kind_by_suffix(lower)
    if _is_folder(entry):
        return FOLDER
    try:
        is_file = entry.is_file()
    except OSError as error:  # a link to itself, or into a folder that this user may not enter
        return LOST if error.errno == errno.ELOOP else UNREADABLE
    if not is_file:
        is_lost = entry.is_symlink() and not os.path.exists(entry.path)
        return LOST if is_lost else NO_FILE
    if _is_hidden(name):
        return HIDDEN
    if pattern is not None:
        return BESIDE
    if not entry.name.endswith(".tar"):
        return UPPER_CASE
    return DEEPER if "/" in name else UNREADABLE


def _kind_by_suffix(name: str) -> Kind | None:
    by_suffix = (
        (_COMPRESSED, COMPRESSED), (_ARCHIVES, ARCHIVE), (_IMAGES, LOOSE),
        (_UNFINISHED if ".tar" in name else (), UNFINISHED),
    )  # fmt: skip
    for suffixes, kind in by_suffix:
        if name.endswith(suffixes):
            return kind
    goes_on = _GOES_ON.search(name) and not name.endswith(_BESIDE_SHARDS)
    return COPY if goes_on else None
