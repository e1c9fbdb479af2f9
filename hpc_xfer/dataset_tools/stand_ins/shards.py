"""Write tar shards of a source: images with captions, class numbers and a json, and their index."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex, read_entry
from hpc_xfer.config.training_data import columns
from hpc_xfer.config.training_data.selection import CLASS, KEY
from hpc_xfer.config.training_data.source_needs import SourceNeeds
from hpc_xfer.config.training_data.stand_in_values import CLASSES, sample_key
from hpc_xfer.dataset_tools.stand_ins.columns import arrays_of, json_values, samples_needed
from hpc_xfer.dataset_tools.stand_ins.tiny_images import encoded
from hpc_xfer.system import atomic_files

_PER_SHARD = 64
_IMAGES = 1024  # different ones of a class number; a selection of few may need thousands of samples


def write_source(folder: Path, needs: SourceNeeds) -> None:
    """Write samples with jpg, txt, cls and json, so that every method can use them.

    Raises:
        StudyError: a selection would need very many.
        StoreError: the folder cannot be written.
    """
    classes = _classes(needs)
    samples = samples_needed(needs, classes)
    atomic_files.make_folder(folder)
    entries: list[ShardEntry] = []
    for first in range(0, samples, _PER_SHARD):
        numbers = range(first, min(first + _PER_SHARD, samples))
        name = f"{len(entries):05d}.tar"
        with atomic_files.as_store_error(folder / name):
            _write_tar(folder / name, numbers, needs, classes)
        entries.append(read_entry(folder, name, len(numbers)))
    own = (column.name for column in needs.columns if column.name not in (KEY, CLASS))
    keys = tuple(sorted({*needs.texts, *own, *([needs.label] if needs.label else [])}))
    texts = tuple((key, samples) for key in sorted(needs.texts))
    fields = ("cls", "jpg", "json", "txt")
    index = ShardIndex(
        folder, tuple(entries), fields, classes, needs.label, json_keys=keys, texts=texts
    )
    shard_index.write(index)
    if needs.columns:
        columns.write(index, arrays_of(needs, samples, len(classes)), check=lambda *_: None)


def _classes(needs: SourceNeeds) -> tuple[str, ...]:
    """Name eight classes, or as many as a selection draws."""
    drawn = max((each.selection.classes or 0 for each in needs.selected), default=0)
    more = (f"animal {number}" for number in range(len(CLASSES), drawn))
    return (*CLASSES, *more)


def _write_tar(
    path: Path, numbers: Sequence[int], needs: SourceNeeds, classes: Sequence[str]
) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in numbers:
            label = number % len(classes)
            caption = f"a photo of a {classes[label]}, number {number}"
            values: dict[str, object] = dict.fromkeys(needs.texts, caption)
            values |= json_values(needs, number)
            if needs.label is not None:
                values[needs.label] = label
            members = {
                "cls": str(label).encode(),
                "jpg": encoded(label, number % _IMAGES),
                "json": json.dumps(values).encode(),
                "txt": caption.encode(),
            }
            for field, content in members.items():
                member = tarfile.TarInfo(f"{sample_key(number)}.{field}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
