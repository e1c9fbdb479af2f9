"""A cache of sample indexes, written when shards are indexed, so that opening reads no headers.

The headers of a tar lie between its images. Where images are smaller than 64 kB, reading all
headers means reading the whole tar. A cached index (`.index/00003.tar.places`) takes 80 bytes per
sample.

It is used where the shard index has the same layout and size, and the file holds the same bytes in
nine spots: headers and first bytes of eight samples, and the end. This detects another shard of the
same size, and a shard that was copied in part; it does not detect one that differs only between the
spots. Where no index is cached or it does not fit, the headers are read.
"""

import hashlib
import json
import sys
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpc_xfer.compute.shards import tar_damage
from hpc_xfer.compute.shards.sample_index import SampleIndex
from hpc_xfer.compute.shards.shard import Shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.system import atomic_files

_SCHEMA = 1
_MOST_BYTES = 4 << 30  # 50 million samples
_ARRAYS = {  # name and type code, in the order of the file
    "key_ends": "I", "first_members": "I", "member_fields": "I", "offsets": "q", "sizes": "q",
}  # fmt: skip


def write(folder: Path, name: str, shard: Shard) -> None:
    """Cache the index of a shard. Where this fails (a quota of files), headers are read instead."""
    index = shard.sample_index
    tables = [index.keys, *(getattr(index, each).tobytes() for each in _ARRAYS)]
    data = b"".join(tables)
    head = {
        **_expected(shard.path.stat().st_size, shard.layout),
        "fields": index.fields,
        "lengths": [len(table) for table in tables],
        "proof": shard.keep_open().spot_digest,
        "tail": True,  # what follows the end mark was looked at
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with suppress(StoreError):
        path = shard_index.sample_index_path(folder, name)
        atomic_files.write_bytes(path, json.dumps(head).encode() + b"\n" + data)


def remove_stale(index: ShardIndex) -> None:
    """Remove what is cached of absent shards, and temporary files of killed processes."""
    current = {shard_index.sample_index_path(index.folder, entry.name) for entry in index.entries}
    for path in (index.folder / shard_index.SAMPLE_INDEX_FOLDER).rglob("*"):
        if path.is_file() and path not in current:
            with suppress(OSError):
                path.unlink()


def open_cached(folder: Path, entry: ShardEntry) -> Shard | None:
    """Open a shard with its cached index; None where its headers have to be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError, DataError):
        path = shard_index.sample_index_path(folder, entry.name)
        line, _, data = atomic_files.read_bytes(path, _MOST_BYTES, follow=True).partition(b"\n")
        head = json.loads(line)
        expected = _expected(entry.bytes, entry.layout)
        if any(head[name] != value for name, value in expected.items()):
            return None
        if head["sha256"] != hashlib.sha256(data).hexdigest():
            return None
        shard = Shard(folder / entry.name, _sample_index(head, data)).keep_open()
        if not head.get("tail") and not _ends_at_the_end(shard, entry.bytes):
            return None  # an older version took any block of zeros for the end
        if len(shard) == entry.samples and shard.spot_digest == head["proof"]:
            return shard
    return None


def _expected(size: int, layout: str | None) -> dict[str, Any]:
    return {"schema": _SCHEMA, "byteorder": sys.byteorder, "bytes": size, "layout": layout}


def _ends_at_the_end(shard: Shard, size: int) -> bool:
    """Tell whether nothing but padding can follow the last sample."""
    return not len(shard) or tar_damage.is_padding(shard.data_end(len(shard) - 1), size)


def _sample_index(head: dict[str, Any], data: bytes) -> SampleIndex:
    start, *lengths = head["lengths"]
    keys, tables = data[:start], {}
    for (name, code), length in zip(_ARRAYS.items(), lengths, strict=True):
        tables[name] = array(code, data[start : start + length])
        start += length
    return SampleIndex(keys=keys, fields=tuple(head["fields"]), **tables)
