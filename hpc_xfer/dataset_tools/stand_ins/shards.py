"""Write tar shards of a source: images with captions, class numbers and a json, and their index."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex, read_entry
from hpc_xfer.config.training_data.source_needs import SourceNeeds
from hpc_xfer.dataset_tools.stand_ins.tiny_images import encoded
from hpc_xfer.system import atomic_files

CLASSES = ("badger", "bobcat", "cat", "coyote", "deer", "dog", "fox", "raven")
_PER_SHARD = 64


def write_source(folder: Path, needs: SourceNeeds) -> None:
    """Write samples with jpg, txt, cls and json, so that every method can use them.

    Raises:
        StoreError: the folder cannot be written.
    """
    atomic_files.make_folder(folder)
    entries: list[ShardEntry] = []
    for first in range(0, needs.samples, _PER_SHARD):
        numbers = range(first, min(first + _PER_SHARD, needs.samples))
        name = f"{len(entries):05d}.tar"
        with atomic_files.as_store_error(folder / name):
            _write_tar(folder / name, numbers, needs)
        entries.append(read_entry(folder, name, len(numbers)))
    keys = tuple(sorted({*needs.texts, *([needs.label] if needs.label else [])}))
    texts = tuple((key, needs.samples) for key in sorted(needs.texts))
    fields = ("cls", "jpg", "json", "txt")
    shard_index.write(
        ShardIndex(
            folder, tuple(entries), fields, CLASSES, needs.label, json_keys=keys, texts=texts
        )
    )


def _write_tar(path: Path, numbers: Sequence[int], needs: SourceNeeds) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in numbers:
            label = number % len(CLASSES)
            caption = f"a photo of a {CLASSES[label]}, number {number}"
            values: dict[str, object] = dict.fromkeys(needs.texts, caption)
            if needs.label is not None:
                values[needs.label] = label
            members = {
                "cls": str(label).encode(),
                "jpg": encoded(label, number),
                "json": json.dumps(values).encode(),
                "txt": caption.encode(),
            }
            for field, content in members.items():
                member = tarfile.TarInfo(f"{number:09d}.{field}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
