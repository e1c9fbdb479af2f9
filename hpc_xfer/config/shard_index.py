"""The index of a source: `index.json` beside its tar shards.

The launcher and every worker read this small file instead of opening thousands of shards.
`python -m hpc_xfer.shards index FOLDER` makes it; its fingerprint goes into every record.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.config.shard_files import listing, oddity, typed_json
from hpc_xfer.config.shard_files.oddity import Oddity
from hpc_xfer.config.shard_files.typed_json import OddValue
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.terminal import counted

NAME = "index.json"
SAMPLE_INDEX_FOLDER = ".index"  # beside it: sample_index_cache.py's folder; may be deleted
MAKING = ".making"  # beside it: progress of `shards make`, until all is done
SCHEMA = 1
MOST_SAMPLES = 100_000_000_000  # LAION has 6 billion
_MOST_SHARDS = 1_000_000
_MOST_CLASSES = 1_000_000
_MOST_KEYS = 100_000  # of json, fields, or kinds of oddities
_MOST_DIGEST = 64  # hex digits
# The first of these that a sample has is its image. Those after webp came later: in a sample that
# has one of the first four, they are something else, such as a mask.
IMAGE_FIELDS = (
    *("jpg", "jpeg", "png", "webp"),
    *("avif", "bmp", "gif", "jp2", "ppm", "tif", "tiff"),
)


@dataclass(frozen=True)
class ShardEntry:
    """A tar file of the folder."""

    name: str  # relative to the folder: "00003.tar", or "part-1/00003.tar"
    samples: int
    bytes: int
    sha256: str
    layout: str | None = None  # fingerprint of where samples lie; None in an older index


@dataclass(frozen=True)
class ShardIndex:
    """All shards of a source, in the order in which samples are numbered."""

    folder: Path
    entries: tuple[ShardEntry, ...]
    fields: tuple[str, ...]  # that occur, sorted: ("cls", "png", "txt")
    classes: tuple[str, ...] | None  # names by class number; None where samples have no labels
    label_key: str | None = None  # of the json of samples, if labels are not in "cls"
    json_keys: tuple[str, ...] = ()  # in the json of samples; of the first ones in an older index
    pattern: str | None = None  # of the shards below the folder, if not all of it was indexed
    oddities: tuple[Oddity, ...] = ()  # in samples and classes; none in an older index
    texts: tuple[tuple[str, int], ...] = ()  # json keys, and how many samples have a text there

    @property
    def samples(self) -> int:
        return sum(entry.samples for entry in self.entries)

    @property
    def fingerprint(self) -> str:
        """64 hex digits of the contents of the shards; independent of the folder's path."""
        shards = [[entry.name, entry.samples, entry.sha256] for entry in self.entries]
        what: dict[str, Any] = {"classes": self.classes, "shards": shards}
        if self.label_key is not None:
            what["label_key"] = self.label_key
        text = json.dumps(what, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def command(self) -> str:
        """The command that made this index, quoted, to name as the way out."""
        return index_command(self.folder, self.pattern, self.label_key)

    def path(self, entry: ShardEntry) -> Path:
        return self.folder / entry.name

    @classmethod
    def load(cls, folder: Path) -> "ShardIndex":
        """Read the index and compare it with the sizes on disk; no shard is opened.

        Raises:
            DataError: there is no folder, shard or index, or the index does not fit the shards.
        """
        path = folder / NAME
        if not path.is_file():
            _refuse_without_index(folder)
        index = parse(folder)
        for why in disagreements(index, list_shards(folder, index.pattern)):
            raise DataError(why)
        return index


def _refuse_without_index(folder: Path) -> None:
    """Raises:
    DataError: it says what the folder holds instead of an index.
    """
    on_disk = list_shards(folder)
    if not on_disk:
        way = "make some with `python -m hpc_xfer.shards make` or correct the path in the site file"
        raise DataError(listing.no_shards(folder, way))
    refuse_unfinished(folder)
    raise DataError(
        f"{folder}: has {counted(len(on_disk), 'shard')} but no {NAME}; run {index_command(folder)}"
    )


def write(index: ShardIndex) -> None:
    """Write `index.json` into the index's folder, atomically.

    Raises:
        StoreError: the folder cannot be written.
    """
    value: dict[str, object] = {
        "schema": SCHEMA,
        "samples": index.samples,
        "fields": index.fields,
        "classes": index.classes,
        "shards": [_as_json(entry) for entry in index.entries],
    }
    if index.label_key is not None:
        value["label_key"] = index.label_key
    if index.json_keys:
        value["json_keys"] = index.json_keys
    if index.pattern is not None:
        value["pattern"] = index.pattern
    if index.oddities:
        value["oddities"] = oddity.as_json(index.oddities)
    if index.texts:
        value["texts"] = dict(index.texts)
    atomic_files.write_json(index.folder / NAME, value)


def list_shards(folder: Path, pattern: str | None = None) -> dict[str, int]:
    """List the shards that are used: bytes by name, sorted by name; see shard_files/listing.py.

    Raises:
        DataError: there is no such folder, or the pattern is wrong.
    """
    return listing.list_shards(folder, pattern)


def refuse_unfinished(folder: Path) -> None:
    """Raises:
    DataError: `shards make` has not finished, so that an index would cover only a part.
    """
    if (folder / MAKING).is_dir() and not (folder / NAME).is_file():
        raise DataError(
            f"{folder}: is not finished: `shards make` or `shards characters` is still running, or "
            "was killed; run the same command again"
        )


def read_entry(folder: Path, name: str, samples: int, layout: str | None = None) -> ShardEntry:
    """Make the index entry of a shard; reads all of its bytes."""
    path = folder / name
    return ShardEntry(name, samples, path.stat().st_size, atomic_files.sha256(path), layout)


def disagreements(index: ShardIndex, on_disk: dict[str, int]) -> Iterator[str]:
    """Say where an index and the sizes of shards differ, one sentence each."""
    for entry in index.entries:
        if entry.name not in on_disk:
            target = listing.link_target(index.path(entry))
            why = "" if target is None else f": it is a link to {target}, which is not there"
            yield (
                f"{index.path(entry)}: is listed in {NAME} but missing{why}; bring it back or run "
                f"{index.command}"
            )
        elif on_disk[entry.name] != entry.bytes:
            yield (
                f"{index.path(entry)}: has {on_disk[entry.name]:,} bytes where {NAME} says "
                f"{entry.bytes:,}: it is cut off or was changed; copy it again or run "
                f"{index.command}"
            )
    if extra := sorted(on_disk.keys() - {entry.name for entry in index.entries}):
        which = "the one shard" if len(extra) == 1 else f"one of {len(extra):,} shards"
        yield (
            f"{index.folder / extra[0]}: is {which} that {NAME} does not list; run {index.command}"
        )


def repeated(index: ShardIndex) -> str | None:
    """Say that shards hold the same bytes as others, so that their samples are read twice."""
    first: dict[str, str] = {}
    again = [
        (entry.name, first[entry.sha256])
        for entry in index.entries
        if entry.samples and first.setdefault(entry.sha256, entry.name) != entry.name
    ]
    if not again:
        return None
    name, as_in = again[0]
    return (
        f"{index.folder}: {len(again):,} of {len(index.entries):,} shards hold the same bytes as "
        f"another, the first {name} (as {as_in}); their samples count twice"
    )


def sample_index_path(folder: Path, name: str) -> Path:
    """The cache file of where the samples of a shard lie."""
    return folder / SAMPLE_INDEX_FOLDER / f"{name}.places"


def index_command(folder: Path, pattern: str | None = None, label_key: str | None = None) -> str:
    """The command that errors about an index name as the way out."""
    what = str(folder) if pattern is None else f"{folder}/{pattern}"
    key = "" if label_key is None else f" --label-key {shlex.quote(label_key)}"
    return f"`python -m hpc_xfer.shards index {shlex.quote(what)}{key}`"


def parse(folder: Path) -> ShardIndex:
    """Read the index without comparing it with the shards.

    Raises:
        DataError: it is missing or damaged.
    """
    return _parse(folder, atomic_files.read_json(folder / NAME, follow=True))


def _parse(folder: Path, value: Any) -> ShardIndex:
    try:
        if value is None:
            raise OddValue("no whole JSON")
        return _checked(folder, typed_json.mapping(value, "it"))
    except OddValue as odd:
        raise DataError(
            f"{folder / NAME}: is damaged or of another version ({odd}); run "
            f"{index_command(folder)}"
        ) from odd


def _checked(folder: Path, value: Mapping[str, Any]) -> ShardIndex:
    if typed_json.count(value, "schema") != SCHEMA:
        raise OddValue(f"schema is not {SCHEMA}")
    for key in ("samples", "fields", "classes", "shards"):
        if key not in value:
            raise OddValue(f"{key} is absent")
    has_classes = value["classes"] is not None
    texts = typed_json.mapping(value.get("texts", {}), "texts")
    shards = typed_json.items(value, "shards", _MOST_SHARDS)
    index = ShardIndex(
        folder=folder,
        entries=tuple(_shard_entry(typed_json.mapping(each, "a shard")) for each in shards),
        fields=typed_json.texts(value, "fields", _MOST_KEYS),
        classes=typed_json.texts(value, "classes", _MOST_CLASSES) if has_classes else None,
        label_key=typed_json.text_or_none(value, "label_key"),
        json_keys=typed_json.texts(value, "json_keys", _MOST_KEYS),
        pattern=typed_json.text_or_none(value, "pattern"),
        oddities=oddity.parsed(typed_json.items(value, "oddities", _MOST_KEYS)),
        texts=tuple((key, typed_json.count(texts, key)) for key in texts),
    )
    if len({entry.name for entry in index.entries}) < len(index.entries):
        raise OddValue("a shard is listed twice")
    if typed_json.count(value, "samples", MOST_SAMPLES) != index.samples:
        raise OddValue("samples is not the sum of the shards")
    return index


def _shard_entry(shard: Mapping[str, Any]) -> ShardEntry:
    entry = ShardEntry(
        typed_json.path_below(shard, "name", ".tar"),
        typed_json.count(shard, "samples", MOST_SAMPLES),
        typed_json.count(shard, "bytes"),
        typed_json.text(shard, "sha256", _MOST_DIGEST),
        typed_json.text_or_none(shard, "layout", _MOST_DIGEST),
    )
    if entry.samples > entry.bytes:  # memory is taken for samples before shards are read
        raise OddValue("a shard has more samples than bytes")
    return entry


def _as_json(entry: ShardEntry) -> dict[str, object]:
    return {name: value for name, value in asdict(entry).items() if value is not None}
