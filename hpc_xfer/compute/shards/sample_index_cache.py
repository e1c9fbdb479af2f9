"""What lies where in a shard, noted when it was indexed, so that opening it reads no headers.

The headers of a tar lie between its images, and where these are smaller than 64 kB, reading the
headers is reading all. A note takes 80 bytes a sample: `.index/00003.tar.places` by the index.

A note is believed where the index says the same layout and size, and where the file, at nine places
all over it, holds what it held then: headers and first bytes of eight samples, and the end. Another
shard of the same size is so found, as is one that was copied in part; one that differs in samples
between those places alone is not. Where a note is absent or not believed, the headers are read.
"""

import hashlib
import json
import sys
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpc_xfer.compute.shards.sample_index import SampleIndex
from hpc_xfer.compute.shards.shard import Shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.system import atomic_files

_SCHEMA = 1
_ARRAYS = {"ends": "I", "firsts": "I", "kinds": "I", "offsets": "q", "sizes": "q"}


def write(folder: Path, name: str, shard: Shard) -> None:
    """Where it cannot be written (a quota of files), the headers are read instead."""
    places = shard.places
    tables = [places.names, *(getattr(places, each).tobytes() for each in _ARRAYS)]
    data = b"".join(tables)
    head = {
        **_expected(shard.path.stat().st_size, shard.layout),
        "fields": places.fields,
        "lengths": [len(table) for table in tables],
        "proof": shard.hold().proof,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with suppress(StoreError):
        path = shard_index.places_path(folder, name)
        atomic_files.write_bytes(path, json.dumps(head).encode() + b"\n" + data)


def tidy(index: ShardIndex) -> None:
    """Remove notes of shards that are gone, and drafts of processes that were killed."""
    notes = {shard_index.places_path(index.folder, entry.name) for entry in index.entries}
    for path in (index.folder / shard_index.PLACES).rglob("*"):
        if path.is_file() and path not in notes:
            with suppress(OSError):
                path.unlink()


def shard(folder: Path, entry: ShardEntry) -> Shard | None:
    """The shard, held; None where its headers have to be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, DataError):
        line, _, data = shard_index.places_path(folder, entry.name).read_bytes().partition(b"\n")
        head = json.loads(line)
        expected = _expected(entry.bytes, entry.layout)
        if any(head[name] != value for name, value in expected.items()):
            return None
        if head["sha256"] != hashlib.sha256(data).hexdigest():
            return None
        found = Shard(folder / entry.name, _places(head, data)).hold()
        if len(found) == entry.samples and found.proof == head["proof"]:
            return found
    return None


def _expected(size: int, layout: str | None) -> dict[str, Any]:
    return {"schema": _SCHEMA, "byteorder": sys.byteorder, "bytes": size, "layout": layout}


def _places(head: dict[str, Any], data: bytes) -> SampleIndex:
    names, *lengths = head["lengths"]
    at, tables = names, {}
    for (name, code), length in zip(_ARRAYS.items(), lengths, strict=True):
        tables[name] = array(code, data[at : at + length])
        at += length
    return SampleIndex(names=data[:names], fields=tuple(head["fields"]), **tables)
