"""What a source holds, said once: `index.json` beside its tar shards.

The launcher and every worker read this one small file instead of opening thousands of shards. It is
made by `python -m hpc_xfer.shards index FOLDER`; its fingerprint goes into every record.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files

NAME = "index.json"
PLACES = ".index"  # beside it: where samples lie in each shard (data/noted.py); not needed
MAKING = ".making"  # beside it: notes of `shards make` on what is done, until all is
SCHEMA = 1
IMAGE_FIELDS = ("jpg", "jpeg", "png", "webp")


@dataclass(frozen=True)
class ShardEntry:
    """One tar file of the folder."""

    name: str  # relative to the folder: "00003.tar", or "part-1/00003.tar"
    samples: int
    bytes: int
    sha256: str
    layout: str | None = None  # data/shards.py; None in an index of an older version


@dataclass(frozen=True)
class ShardIndex:
    """All shards of a source, in the order in which samples are numbered."""

    folder: Path
    entries: tuple[ShardEntry, ...]
    fields: tuple[str, ...]  # all that occur, sorted: ("cls", "png", "txt")
    classes: tuple[str, ...] | None  # names by class number; None where samples have no labels
    label_key: str | None = None  # where the labels are in the json of samples, not in "cls"
    json_keys: tuple[str, ...] = ()  # that occur in the json of the first samples of each shard

    @property
    def samples(self) -> int:
        return sum(entry.samples for entry in self.entries)

    @property
    def fingerprint(self) -> str:
        """64 hex digits of what is in the shards; the same wherever the folder lies."""
        shards = [[entry.name, entry.samples, entry.sha256] for entry in self.entries]
        what: dict[str, Any] = {"classes": self.classes, "shards": shards}
        if self.label_key is not None:
            what["label_key"] = self.label_key
        text = json.dumps(what, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def path(self, entry: ShardEntry) -> Path:
        return self.folder / entry.name

    @classmethod
    def load(cls, folder: Path) -> "ShardIndex":
        """Read the index and hold it against the sizes on disk; no shard is opened.

        Raises:
            DataError: no folder, no shards, no index, or one that does not fit the shards.
        """
        on_disk = list_shards(folder)
        if not on_disk:
            raise DataError(
                f"{folder}: holds no .tar shards; make some with `python -m hpc_xfer.shards make` "
                "or correct the path in the site file"
            )
        path = folder / NAME
        if not path.is_file():
            refuse_unfinished(folder)
            raise DataError(
                f"{folder}: has {len(on_disk)} shards but no {NAME}; run {index_command(folder)}"
            )
        index = parse(folder)
        for why in disagreements(index, on_disk):
            raise DataError(why)
        return index


def write(index: ShardIndex) -> None:
    """Write `index.json` into the index's folder, whole or not at all.

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
    atomic_files.write_json(index.folder / NAME, value)


def list_shards(folder: Path) -> dict[str, int]:
    """Bytes by name of every tar file in `folder`, else in the folders in it, sorted by name.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; correct the path in the site file")
    return _tars(folder, "*.tar") or _tars(folder, "*/*.tar")


def refuse_unfinished(folder: Path) -> None:
    """Raises:
    DataError: `shards make` has not come to its end, so that an index would tell of a part.
    """
    if (folder / MAKING).is_dir() and not (folder / NAME).is_file():
        raise DataError(
            f"{folder}: is not finished: `shards make` or `shards characters` is at work there, or "
            "was killed; call it again as it was called"
        )


def read_entry(folder: Path, name: str, samples: int, layout: str | None = None) -> ShardEntry:
    """What the index says of a shard; all of its bytes are read."""
    path = folder / name
    return ShardEntry(name, samples, path.stat().st_size, atomic_files.sha256(path), layout)


def disagreements(index: ShardIndex, on_disk: dict[str, int]) -> Iterator[str]:
    """In what an index and the sizes of shards differ, one sentence each."""
    for entry in index.entries:
        if entry.name not in on_disk:
            yield (
                f"{index.path(entry)}: is listed in {NAME} but absent; bring it back or run "
                f"{index_command(index.folder)}"
            )
        elif on_disk[entry.name] != entry.bytes:
            yield (
                f"{index.path(entry)}: has {on_disk[entry.name]:,} bytes where {NAME} says "
                f"{entry.bytes:,}: it is cut off or was changed; copy it again or run "
                f"{index_command(index.folder)}"
            )
    if extra := sorted(on_disk.keys() - {entry.name for entry in index.entries}):
        yield (
            f"{index.folder / extra[0]}: is one of {len(extra)} shards that {NAME} does not list; "
            f"run {index_command(index.folder)}"
        )


def places_path(folder: Path, name: str) -> Path:
    """Of what is noted of a shard."""
    return folder / PLACES / f"{name}.places"


def index_command(folder: Path) -> str:
    """The way out that errors about an index name."""
    return f"`python -m hpc_xfer.shards index {shlex.quote(str(folder))}`"


def parse(folder: Path) -> ShardIndex:
    """The index as it is written, not held against anything.

    Raises:
        DataError: it is absent or damaged.
    """
    return _parse(folder, atomic_files.read_json(folder / NAME))


def _parse(folder: Path, value: Any) -> ShardIndex:
    try:
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}")
        index = ShardIndex(
            folder=folder,
            entries=tuple(_shard_entry(shard) for shard in value["shards"]),
            fields=tuple(str(field) for field in value["fields"]),
            classes=None if value["classes"] is None else tuple(map(str, value["classes"])),
            label_key=None if value.get("label_key") is None else str(value["label_key"]),
            json_keys=tuple(map(str, value.get("json_keys", ()))),
        )
        if index.samples != value["samples"]:
            raise ValueError("sum of samples")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / NAME}: is damaged or of another version; run {index_command(folder)}"
        ) from error
    return index


def _shard_entry(shard: Any) -> ShardEntry:
    layout = shard.get("layout")
    return ShardEntry(
        str(shard["name"]),
        int(shard["samples"]),
        int(shard["bytes"]),
        str(shard["sha256"]),
        None if layout is None else str(layout),
    )


def _as_json(entry: ShardEntry) -> dict[str, object]:
    return {name: value for name, value in asdict(entry).items() if value is not None}


def _tars(folder: Path, pattern: str) -> dict[str, int]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.glob(pattern)}
    return {
        name: path.stat().st_size
        for name, path in sorted(found.items())
        if path.is_file() and not any(part.startswith(".") for part in Path(name).parts)
    }
