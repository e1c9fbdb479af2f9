"""Write one tar shard, and make its entry for the index."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardEntry
from hpc_xfer.system import atomic_files


@dataclass(frozen=True)
class TarContents:
    """Contents of one tar."""

    samples: int
    fields: tuple[str, ...]
    classes: int  # the highest class number plus one


def write_tar(path: Path, samples: Iterable[tuple[int, Mapping[str, bytes]]]) -> TarContents:
    """Write samples with their numbers as keys; the file is complete or absent."""
    from webdataset.writer import TarWriter  # imports torch, which some inputs do not need

    written, fields, classes = 0, set[str](), 0

    def write(file: Any) -> None:
        nonlocal written, classes
        with TarWriter(file, encoder=False, mtime=0) as tar:  # no times, so the same bytes
            for key, sample in samples:
                tar.write({"__key__": f"{key:09d}", **sample})
                written += 1
                fields.update(sample)
                label = sample.get("cls", b"")
                classes = max(classes, 1 + int(label) if label.isdigit() else 0)

    atomic_files.write_atomically(path, write)
    return TarContents(written, tuple(sorted(fields)), classes)


def make_entry(folder: Path, name: str, samples: int) -> ShardEntry:
    """Make the entry of a shard for the index, and cache where its samples lie."""
    shard = open_shard(folder / name)
    sample_index_cache.write(folder, name, shard)
    return shard_index.read_entry(folder, name, samples, shard.layout)


def all_fields(contents: Iterable[TarContents]) -> tuple[str, ...]:
    return tuple(sorted({field for each in contents for field in each.fields}))


def shard_name(number: int) -> str:
    return f"{number:06d}.tar"
