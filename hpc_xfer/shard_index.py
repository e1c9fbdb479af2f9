"""What a source holds, said once: `index.json` beside its tar shards.

The launcher and every worker read this one small file instead of opening thousands of shards. It is
made by `python -m hpc_xfer.shards index FOLDER`; its fingerprint goes into every record.
"""

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpc_xfer import files
from hpc_xfer.errors import DataError

NAME = "index.json"
SCHEMA = 1
IMAGE_FIELDS = ("jpg", "jpeg", "png", "webp")


@dataclass(frozen=True)
class ShardEntry:
    """One tar file of the folder."""

    name: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardIndex:
    """All shards of a source, in the order in which samples are numbered."""

    folder: Path
    entries: tuple[ShardEntry, ...]
    fields: tuple[str, ...]  # all that occur, sorted: ("cls", "png", "txt")
    classes: tuple[str, ...] | None  # names by class number; None where samples have no "cls"

    @property
    def samples(self) -> int:
        return sum(entry.samples for entry in self.entries)

    @property
    def fingerprint(self) -> str:
        """64 hex digits of what is in the shards; the same wherever the folder lies."""
        shards = [[entry.name, entry.samples, entry.sha256] for entry in self.entries]
        text = json.dumps({"classes": self.classes, "shards": shards}, separators=(",", ":"))
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
            raise DataError(
                f"{folder}: has {len(on_disk)} shards but no {NAME}; run {index_command(folder)}"
            )
        index = _parse(folder, files.read_json(path))
        _hold_against(on_disk, index)
        return index


def write(index: ShardIndex) -> None:
    """Write `index.json` into the index's folder, whole or not at all.

    Raises:
        StoreError: the folder cannot be written.
    """
    value = {
        "schema": SCHEMA,
        "samples": index.samples,
        "fields": index.fields,
        "classes": index.classes,
        "shards": [asdict(entry) for entry in index.entries],
    }
    files.write_json(index.folder / NAME, value)


def list_shards(folder: Path) -> dict[str, int]:
    """Bytes by name of every tar file in `folder`, sorted by name.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; correct the path in the site file")
    paths = sorted(path for path in folder.glob("*.tar") if path.is_file())  # no dangling links
    return {path.name: path.stat().st_size for path in paths if not path.name.startswith(".")}


def index_command(folder: Path) -> str:
    """The way out that errors about an index name."""
    return f"`python -m hpc_xfer.shards index {shlex.quote(str(folder))}`"


def _parse(folder: Path, value: Any) -> ShardIndex:
    try:
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}")
        index = ShardIndex(
            folder=folder,
            entries=tuple(_entry(shard) for shard in value["shards"]),
            fields=tuple(str(field) for field in value["fields"]),
            classes=None if value["classes"] is None else tuple(map(str, value["classes"])),
        )
        if index.samples != value["samples"]:
            raise ValueError("sum of samples")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / NAME}: is damaged or of another version; run {index_command(folder)}"
        ) from error
    return index


def _entry(shard: Any) -> ShardEntry:
    return ShardEntry(
        str(shard["name"]), int(shard["samples"]), int(shard["bytes"]), str(shard["sha256"])
    )


def _hold_against(on_disk: dict[str, int], index: ShardIndex) -> None:
    for entry in index.entries:
        if entry.name not in on_disk:
            raise DataError(
                f"{index.path(entry)}: is listed in {NAME} but absent; bring it back or run "
                f"{index_command(index.folder)}"
            )
        if on_disk[entry.name] != entry.bytes:
            raise DataError(
                f"{index.path(entry)}: has {on_disk[entry.name]:,} bytes where {NAME} says "
                f"{entry.bytes:,}: it is cut off or was changed; copy it again or run "
                f"{index_command(index.folder)}"
            )
    if extra := sorted(on_disk.keys() - {entry.name for entry in index.entries}):
        raise DataError(
            f"{index.folder / extra[0]}: is one of {len(extra)} shards that {NAME} does not list; "
            f"run {index_command(index.folder)}"
        )
