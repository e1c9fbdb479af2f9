"""Shards out of an input, by many processes; killed and started again, the same bytes.

    packed = pack(folder, ImageFolder(photos), Packing(per_shard=1000), workers=8)

What a shard holds follows from the input, the seed and the number of the shard, so any process can
write any shard. While shards are made, `.making/` has a note about each one that is done; the index
comes last: a folder without one is unfinished.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc_xfer.compute.shard_tools.inputs import Input, Sample
from hpc_xfer.compute.shard_tools.reencode import Reencoding
from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.system import atomic_files, process_pool
from hpc_xfer.system.terminal import ProgressCallback

MADE = "made.json"  # beside the shards: what they were made from
BROKEN = "broken.txt"  # beside the shards: what was left out, and why, a line each
_NOTES = shard_index.MAKING
_MEASURED = 1024  # samples, for shards of a size in MB: their mean is within 3% then
_CHUNK = 64  # samples that are measured at a time by one process


@dataclass(frozen=True)
class PackOptions:
    """What decides the shards, beside the input."""

    per_shard: int = 1000
    shard_mb: float | None = None  # overrides per_shard: as many samples as make so many 10^6 bytes
    seed: int | None = 0  # of the shuffle; None keeps the order
    reencoding: Reencoding | None = None

    def call(self, source: Input) -> dict[str, object]:
        """All of it, with the input, as JSON."""
        size = (
            {"per_shard": self.per_shard} if self.shard_mb is None else {"shard_mb": self.shard_mb}
        )
        small = None if self.reencoding is None else asdict(self.reencoding)
        return {"input": source.identity, "seed": self.seed, "reencoding": small, "size": size}


@dataclass(frozen=True)
class PackResult:
    """What came of it."""

    index: ShardIndex
    broken: int  # samples left out
    fresh: bool  # False: it was there already


@dataclass(frozen=True)
class _ShardTask:
    """The samples of one shard."""

    number: int
    first: int  # position of its first sample, for the keys
    rows: Sequence[Any]


@dataclass(frozen=True)
class _Contents:
    """What is in one tar."""

    samples: int
    fields: tuple[str, ...]
    classes: int  # the highest class number plus one


@dataclass(frozen=True)
class _Note:
    """What became of a task."""

    rows: int
    entry: ShardEntry | None  # None where all samples are broken
    contents: _Contents
    broken: tuple[str, ...]


def pack(
    folder: Path,
    source: Input,
    packing: PackOptions,
    workers: int = 1,
    max_broken: float = 0.001,
    progress: ProgressCallback | None = None,
) -> PackResult:
    """Write the shards of `source` that are not there yet, then the index.

    Args:
        max_broken: the share of samples that may be left out.

    Raises:
        StudyError: the folder holds other shards.
        DataError: nothing to write, too much of it broken, or a process was killed.
        StoreError: the folder cannot be written.
    """
    if not len(source):
        raise DataError(f"{folder}: there are no samples to write; check the input")
    made = _begun(folder, packing.call(source))
    if made is not None and (folder / shard_index.NAME).exists():
        shutil.rmtree(folder / _NOTES, ignore_errors=True)  # of a call that was killed at its end
        return PackResult(ShardIndex.load(folder), made["broken"], fresh=False)
    order = _order(len(source), packing.seed)
    if made is None:
        per_shard = _per_shard(source, packing, order, workers)
        made = {"schema": 1, "call": packing.call(source), "per_shard": per_shard, "broken": 0}
        atomic_files.write_json(folder / MADE, made)
    starts = range(0, len(source), made["per_shard"])
    _write_missing(folder, source, order, starts, workers, progress)
    notes = [note for n in range(len(starts)) if (note := _read_note(folder, n))]
    return _finish(folder, source, made, notes, max_broken)


def write_shards(
    folder: Path,
    samples: Iterable[Mapping[str, bytes]],
    classes: Sequence[str] | None,
    per_shard: int = 1000,
) -> ShardIndex:
    """Write `samples` (bytes by field) in order; the same samples give the same files.

    Raises:
        StudyError: the folder holds shards already.
        DataError: there are no samples.
        StoreError: the folder cannot be written.
    """
    _begun(folder, None)
    rest = iter(samples)
    entries: list[ShardEntry] = []
    contents: list[_Contents] = []
    while batch := list(islice(rest, per_shard)):
        name = _name(len(entries))
        numbered = enumerate(batch, start=per_shard * len(entries))
        contents.append(_write_tar(folder / name, numbered))
        entries.append(_entry(folder, name, len(batch)))
    if not entries:
        raise DataError(f"{folder}: there are no samples to write; check the input")
    names = None if classes is None else tuple(classes)
    index = ShardIndex(folder, tuple(entries), _fields(contents), names)
    shard_index.write(index)
    sample_index_cache.tidy(index)
    return index


def remove_shards(folder: Path) -> None:
    """Remove what `pack` wrote, the index first, so that a crash leaves no false one."""
    (folder / shard_index.NAME).unlink(missing_ok=True)
    for notes in (_NOTES, shard_index.PLACES):
        shutil.rmtree(folder / notes, ignore_errors=True)
    shards = [name for name in shard_index.list_shards(folder) if Path(name).parent == Path()]
    for name in (*shards, BROKEN, MADE):
        (folder / name).unlink(missing_ok=True)


def _begun(folder: Path, call: dict[str, object] | None) -> dict[str, Any] | None:
    """What is noted of the same call in `folder`; None where nothing was made yet."""
    made = atomic_files.read_json(folder / MADE)
    if isinstance(made, dict) and isinstance(made.get("call"), dict):
        begun = made["call"]
        if begun == call:
            return made
        other = ", ".join(key for key in begun if call is None or begun[key] != call.get(key))
        raise StudyError(
            f"{folder}: holds shards that were begun with another {other}; name another folder, or "
            "remove it to make them anew"
        )
    if folder.is_dir() and shard_index.list_shards(folder):
        raise StudyError(f"{folder}: holds shards already; remove them or name another folder")
    return None


def _order(samples: int, seed: int | None) -> NDArray[np.int64]:
    if seed is None:
        return np.arange(samples)
    return np.random.default_rng(seed).permutation(samples)


def _per_shard(source: Input, packing: PackOptions, order: NDArray[np.int64], workers: int) -> int:
    """As asked, or how many of the first samples in order make a shard of the size asked."""
    if packing.shard_mb is None:
        return packing.per_shard
    rows = source.rows(order[:_MEASURED].tolist())
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    sizes = [
        size for _, size in process_pool.results(partial(_sizes, source.reader), chunks, workers)
    ]
    whole, stored = (sum(column) for column in zip(*sizes, strict=True))
    if not whole:
        raise DataError(
            f"none of the first {len(rows):,} samples is whole; run again without --shard-mb: "
            f"{BROKEN} lists what is wrong"
        )
    return int(max(1, round(packing.shard_mb * 1e6 * whole / stored)))


def _sizes(reader: Callable[[Any], Sample], rows: Sequence[Any]) -> tuple[int, int]:
    """How many of these are whole, and their bytes in a tar: a header and whole blocks of 512."""
    samples = [sample for row in rows if isinstance(sample := _attempt(reader, row), dict)]
    data = [data for sample in samples for data in sample.values()]
    return len(samples), sum(512 + -(-len(each) // 512) * 512 for each in data)


def _attempt(reader: Callable[[Any], Sample], row: Any) -> Sample | str:
    """The sample, or what is wrong with it."""
    try:
        return reader(row)
    except DataError as error:
        return " ".join(str(error).split())


def _write_missing(
    folder: Path,
    source: Input,
    order: NDArray[np.int64],
    starts: range,
    workers: int,
    progress: ProgressCallback | None,
) -> None:
    missing = [number for number in range(len(starts)) if _read_note(folder, number) is None]
    left = sum(min(starts.step, len(order) - starts[number]) for number in missing)
    done = len(order) - left
    if progress:
        progress(done, len(order))
    tasks = (
        _ShardTask(number, start, source.rows(order[start : start + starts.step].tolist()))
        for number in missing
        for start in [starts[number]]
    )
    write = partial(_write_shard, folder, source.reader)
    for _, rows in process_pool.results(write, tasks, workers):
        done += rows
        if progress:
            progress(done, len(order))


def _write_shard(folder: Path, reader: Callable[[Any], Sample], task: _ShardTask) -> int:
    """The shard, then the note that it is done; in how many rows."""
    broken: list[str] = []

    def whole() -> Iterator[tuple[int, Sample]]:
        for key, row in enumerate(task.rows, start=task.first):
            sample = _attempt(reader, row)
            if isinstance(sample, dict):
                yield key, sample
            else:
                broken.append(sample)

    name = _name(task.number)
    draft = folder / _NOTES / name
    contents = _write_tar(draft, whole())
    entry = None
    if contents.samples:
        os.replace(draft, folder / name)
        entry = _entry(folder, name, contents.samples)
    note = _Note(len(task.rows), entry, contents, tuple(broken))
    atomic_files.write_json(_note_path(folder, task.number), asdict(note))
    return note.rows


def _write_tar(path: Path, samples: Iterable[tuple[int, Mapping[str, bytes]]]) -> _Contents:
    from webdataset.writer import TarWriter  # loads torch, which some inputs do without

    written, fields, classes = 0, set[str](), 0

    def write(file: Any) -> None:
        nonlocal written, classes
        with TarWriter(file, encoder=False, mtime=0) as tar:  # a fixed time: the same bytes
            for key, sample in samples:
                tar.write({"__key__": f"{key:09d}", **sample})
                written += 1
                fields.update(sample)
                label = sample.get("cls", b"")
                classes = max(classes, 1 + int(label) if label.isdigit() else 0)

    atomic_files.write_atomically(path, write)
    return _Contents(written, tuple(sorted(fields)), classes)


def _entry(folder: Path, name: str, samples: int) -> ShardEntry:
    shard = open_shard(folder / name)
    sample_index_cache.write(folder, name, shard)
    return shard_index.read_entry(folder, name, samples, shard.layout)


def _read_note(folder: Path, number: int) -> _Note | None:
    """None where the shard is yet to be written."""
    value = atomic_files.read_json(_note_path(folder, number))
    if value is None:
        return None
    entry = value["entry"] and ShardEntry(**value["entry"])
    if entry is not None:
        path = folder / entry.name
        if not path.is_file() or path.stat().st_size != entry.bytes:
            return None
    contents = _Contents(**{**value["contents"], "fields": tuple(value["contents"]["fields"])})
    return _Note(value["rows"], entry, contents, tuple(value["broken"]))


def _finish(
    folder: Path, source: Input, made: dict[str, Any], notes: Sequence[_Note], max_broken: float
) -> PackResult:
    broken = [line for note in notes for line in note.broken]
    if broken:
        atomic_files.write_text(folder / BROKEN, "".join(f"{line}\n" for line in broken))
    share = len(broken) / len(source)
    if share > max_broken:
        raise DataError(
            f"{folder}: {len(broken):,} of {len(source):,} samples are broken, more than "
            f"--max-broken {max_broken:g}; {BROKEN} there lists them, the first: {broken[0]}"
        )
    entries = tuple(note.entry for note in notes if note.entry is not None)
    if not entries:
        raise DataError(f"{folder}: all samples are broken; {BROKEN} there lists them")
    contents = [note.contents for note in notes]
    classes = source.classes or tuple(map(str, range(max(each.classes for each in contents))))
    index = ShardIndex(folder, entries, _fields(contents), classes or None)
    atomic_files.write_json(folder / MADE, {**made, "broken": len(broken)})
    shard_index.write(index)
    sample_index_cache.tidy(index)
    shutil.rmtree(folder / _NOTES, ignore_errors=True)
    return PackResult(index, len(broken), fresh=True)


def _fields(contents: Iterable[_Contents]) -> tuple[str, ...]:
    return tuple(sorted({field for each in contents for field in each.fields}))


def _name(number: int) -> str:
    return f"{number:06d}.tar"


def _note_path(folder: Path, number: int) -> Path:
    return folder / _NOTES / f"{number:06d}.json"
