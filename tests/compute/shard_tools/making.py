"""Shards for tests: written from samples in memory, or made by `shards make`."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools.shard_writer import (
    TarContents,
    all_fields,
    make_entry,
    shard_name,
    write_tar,
)
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex


def make(source: Path | str, out: Path, *options: str) -> int:
    return shards.main(["make", str(source), str(out), "--workers", "1", *options])


def read_samples(out: Path) -> list[dict[str, bytes]]:
    """All samples of a source, in order."""
    index = ShardIndex.load(out)
    opened = map(open_shard, map(index.path, index.entries))
    return [shard.read(i) for shard in opened for i in range(len(shard))]


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def encoded(image: Image.Image, file_format: str = "jpeg", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def write_shards(
    folder: Path,
    samples: Iterable[Mapping[str, bytes]],
    classes: Sequence[str] | None,
    per_shard: int = 1000,
) -> ShardIndex:
    """Write samples (bytes by field) in order, with an index."""
    rest = iter(samples)
    entries: list[ShardEntry] = []
    contents: list[TarContents] = []
    while batch := list(islice(rest, per_shard)):
        name = shard_name(len(entries))
        numbered = enumerate(batch, start=per_shard * len(entries))
        contents.append(write_tar(folder / name, numbered))
        entries.append(make_entry(folder, name, len(batch)))
    names = None if classes is None else tuple(classes)
    index = ShardIndex(folder, tuple(entries), all_fields(contents), names)
    shard_index.write(index)
    return index


def with_json(*values: object) -> list[tuple[str, bytes]]:
    members = []
    for i, value in enumerate(values):
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        members += [(f"{i}.jpg", b"image"), (f"{i}.json", text)]
    return members
