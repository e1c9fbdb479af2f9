"""Pack the samples of an input into shards with many processes.

    result = pack(folder, ImageFolder(photos), PackOptions(per_shard=1000), workers=8)

The content of a shard follows from the input, the seed and the number of the shard, so any process
can write any shard, and a call that was killed gives the same bytes when it is started again. While
shards are made, `.making/` holds a result per finished shard. The index is written last: a folder
without an index is unfinished.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc_xfer.compute.shard_tools.inputs import Input
from hpc_xfer.compute.shard_tools.reencode import Reencoding
from hpc_xfer.compute.shard_tools.shard_writer import (
    TarContents,
    all_fields,
    make_entry,
    shard_name,
    write_tar,
)
from hpc_xfer.compute.shards import sample_index_cache
from hpc_xfer.compute.shards.shard import Sample
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.system import atomic_files, process_pool
from hpc_xfer.system.terminal import ProgressCallback

MADE = "made.json"  # beside the shards: the call that made them
BROKEN = "broken.txt"  # beside the shards: one line per sample that was left out, with the reason
_MEASURED = 1024  # samples; their mean size in MB is then within 3%
_CHUNK = 64  # samples that one process measures at a time


@dataclass(frozen=True)
class PackOptions:
    """Options that decide the content of the shards, together with the input."""

    per_shard: int = 1000
    shard_mb: float | None = None  # in 10^6 bytes; overrides per_shard
    seed: int | None = 0  # of the shuffle; None: do not shuffle
    reencoding: Reencoding | None = None

    def call(self, source: Input) -> dict[str, object]:
        """Describe the call, input and options, as JSON."""
        size = (
            {"per_shard": self.per_shard} if self.shard_mb is None else {"shard_mb": self.shard_mb}
        )
        small = None if self.reencoding is None else asdict(self.reencoding)
        return {"input": source.identity, "seed": self.seed, "reencoding": small, "size": size}


@dataclass(frozen=True)
class PackResult:
    """Result of packing."""

    index: ShardIndex
    broken: int  # samples left out
    is_new: bool  # False: an earlier call had made all shards


@dataclass(frozen=True)
class _ShardTask:
    """The samples that one shard is made of."""

    number: int
    first: int  # position of its first sample, for the keys
    rows: Sequence[Any]


@dataclass(frozen=True)
class _ShardResult:
    """Result of a task, kept in `.making/` until all tasks are done."""

    rows: int
    entry: ShardEntry | None  # None where all samples are broken
    contents: TarContents
    broken: tuple[str, ...]  # what is wrong with each broken sample


def pack(
    folder: Path,
    source: Input,
    options: PackOptions,
    workers: int = 1,
    max_broken: float = 0.001,
    progress: ProgressCallback | None = None,
) -> PackResult:
    """Write the shards of `source` that are absent, then the index.

    Args:
        max_broken: the share of samples that may be broken; they are left out.
        progress: called with samples done and samples in all.

    Raises:
        StudyError: the folder holds other shards.
        DataError: no samples, too many broken ones, or a process was killed.
        StoreError: the folder cannot be written.
    """
    if not len(source):
        raise DataError(f"{folder}: there are no samples to write; check the input")
    call = options.call(source)
    made = _read_made(folder, call)
    if made is not None and (folder / shard_index.NAME).exists():
        _remove_results(folder)  # of a call that was killed at its very end
        return PackResult(ShardIndex.load(folder), made["broken"], is_new=False)
    order = _order(len(source), options.seed)
    if made is None:
        per_shard = _per_shard(folder, source, options, order, workers)
        made = {"schema": 1, "call": call, "per_shard": per_shard, "broken": 0}
        atomic_files.write_json(folder / MADE, made)
    starts = range(0, len(source), made["per_shard"])
    _write_missing(folder, source, order, starts, workers, progress)
    results = [found for n in range(len(starts)) if (found := _read_result(folder, n))]
    return _finish(folder, source, made, results, max_broken)


def remove_shards(folder: Path) -> None:
    """Remove what `pack` wrote, the index first: after a crash no index names absent shards."""
    (folder / shard_index.NAME).unlink(missing_ok=True)
    _remove_results(folder)
    shutil.rmtree(folder / shard_index.SAMPLE_INDEX_FOLDER, ignore_errors=True)
    shards = [name for name in shard_index.list_shards(folder) if Path(name).parent == Path()]
    for name in (*shards, BROKEN, MADE):
        (folder / name).unlink(missing_ok=True)


def first_broken(folder: Path) -> str:
    """Read the first line about a sample that was left out; empty if there is none."""
    try:
        with open(folder / BROKEN, encoding="utf-8", errors="replace") as lines:
            return lines.readline().rstrip("\n")
    except OSError:
        return ""


# How a caller gives what two calls may differ in.
_SAID_BY = {
    "seed": "--seed",
    "reencoding": "--short-side or --quality",
    "size": "--shard-mb or --per-shard",
}


def _read_made(folder: Path, call: dict[str, object]) -> dict[str, Any] | None:
    """Read what an earlier, equal call wrote into MADE; None in a folder without shards.

    Raises:
        StudyError: the folder holds shards of another call, or of unknown origin.
    """
    made = atomic_files.read_json(folder / MADE, follow=True)
    if isinstance(made, dict) and isinstance(made.get("call"), dict):
        earlier = made["call"]
        if earlier == call:
            return made
        other = ", ".join(
            _SAID_BY.get(key, key) for key in earlier if earlier[key] != call.get(key)
        )
        raise StudyError(
            f"{folder}: holds shards that were made with another {other}; name another folder, or "
            "remove this one to make them again"
        )
    if folder.is_dir() and shard_index.list_shards(folder):
        raise StudyError(f"{folder}: holds shards already; remove them or name another folder")
    return None


def _order(samples: int, seed: int | None) -> NDArray[np.int64]:
    if seed is None:
        return np.arange(samples)
    return np.random.default_rng(seed).permutation(samples)


def _per_shard(
    folder: Path, source: Input, options: PackOptions, order: NDArray[np.int64], workers: int
) -> int:
    """Choose the samples per shard: as requested, or from the mean size of the first samples."""
    if options.shard_mb is None:
        return options.per_shard
    rows = source.rows(order[:_MEASURED].tolist())
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    measure = partial(_measure, source.reader)
    sizes = [size for _, size in process_pool.results(measure, chunks, workers)]
    samples, stored = (sum(column) for column in zip(*sizes, strict=True))
    if not samples:
        raise DataError(
            f"{folder}: all of the first {len(rows):,} samples are broken; run again without "
            f"--shard-mb: {BROKEN} then lists what is wrong"
        )
    return int(max(1, round(options.shard_mb * 1e6 * samples / stored)))


def _measure(reader: Callable[[Any], Sample], rows: Sequence[Any]) -> tuple[int, int]:
    """Count the sound samples, and their bytes in a tar: a header and whole blocks of 512."""
    samples = [sample for row in rows if isinstance(sample := _try_read(reader, row), dict)]
    data = [data for sample in samples for data in sample.values()]
    return len(samples), sum(512 + -(-len(each) // 512) * 512 for each in data)


def _try_read(reader: Callable[[Any], Sample], row: Any) -> Sample | str:
    """Make a sample, or describe what is wrong with it."""
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
    missing = [number for number in range(len(starts)) if _read_result(folder, number) is None]
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
    """Write a shard, then its result; return the number of rows."""
    broken: list[str] = []

    def sound_samples() -> Iterator[tuple[int, Sample]]:
        for key, row in enumerate(task.rows, start=task.first):
            sample = _try_read(reader, row)
            if isinstance(sample, dict):
                yield key, sample
            else:
                broken.append(sample)

    name = shard_name(task.number)
    draft = folder / shard_index.MAKING / name
    contents = write_tar(draft, sound_samples())
    entry = None
    if contents.samples:
        os.replace(draft, folder / name)
        entry = make_entry(folder, name, contents.samples)
    result = _ShardResult(len(task.rows), entry, contents, tuple(broken))
    atomic_files.write_json(_result_path(folder, task.number), asdict(result))
    return result.rows


def _read_result(folder: Path, number: int) -> _ShardResult | None:
    """Read the result of a shard; None where the shard has to be written."""
    value = atomic_files.read_json(_result_path(folder, number), follow=True)
    if value is None:
        return None
    entry = value["entry"] and ShardEntry(**value["entry"])
    if entry is not None:
        path = folder / entry.name
        if not path.is_file() or path.stat().st_size != entry.bytes:
            return None
    contents = TarContents(**{**value["contents"], "fields": tuple(value["contents"]["fields"])})
    return _ShardResult(value["rows"], entry, contents, tuple(value["broken"]))


def _finish(
    folder: Path,
    source: Input,
    made: dict[str, Any],
    results: Sequence[_ShardResult],
    max_broken: float,
) -> PackResult:
    broken = [line for result in results for line in result.broken]
    if broken:
        atomic_files.write_text(folder / BROKEN, "".join(f"{line}\n" for line in broken))
    share = len(broken) / len(source)
    if share > max_broken:
        raise DataError(
            f"{folder}: {len(broken):,} of {len(source):,} samples are broken, more than "
            f"--max-broken {max_broken:g}; {BROKEN} lists them, the first: {broken[0]}"
        )
    entries = tuple(result.entry for result in results if result.entry is not None)
    if not entries:
        raise DataError(f"{folder}: all samples are broken; {BROKEN} lists what is wrong")
    contents = [result.contents for result in results]
    classes = source.classes or tuple(map(str, range(max(each.classes for each in contents))))
    fields = all_fields(contents)
    keys = ("captions",) if "json" in fields else ()
    index = ShardIndex(folder, entries, fields, classes or None, json_keys=keys)
    atomic_files.write_json(folder / MADE, {**made, "broken": len(broken)})
    shard_index.write(index)
    sample_index_cache.remove_stale(index)
    _remove_results(folder)
    return PackResult(index, len(broken), is_new=True)


def _result_path(folder: Path, number: int) -> Path:
    return folder / shard_index.MAKING / f"{number:06d}.json"


def _remove_results(folder: Path) -> None:
    shutil.rmtree(folder / shard_index.MAKING, ignore_errors=True)
