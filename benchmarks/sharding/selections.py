"""Choose among the samples of a source by its columns: CPU seconds, and the peak of memory.

Each selection in a process of its own, as a job has it, with 1,000 classes and a quarter of the
hashes twice. Reading the columns from a warm page cache is part of it.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.harness import table
from benchmarks.harness.memory import peak
from benchmarks.harness.table import Row
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.config.training_data import columns, key_list
from hpc_xfer.config.training_data.choose import choose
from hpc_xfer.config.training_data.selection import KeyList, SampleSelection

_PER_SHARD = 10_000
_CLASSES = 1000
_LISTED = 1_000_000  # keys
SELECTIONS = {
    "above": {"above": {"clip_score": 0.3}},
    "best": {"best": {"clip_score": 0.3}},
    "distinct": {"distinct": "phash"},
    "keys": {},
    "per_class": {"per_class": 100},
    "classes": {"classes": 500, "per_class": 50},
    "above, best, distinct, per_class": {
        "above": {"clip_score": 0.1},
        "best": {"clip_score": 0.5},
        "distinct": "phash",
        "per_class": 100,
    },
}


def rows(count: int) -> Iterator[Row]:
    """Measure each kind of selection on a source of so many samples."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table.progress(f"columns of {count:,} samples")
        _write(folder, count)
        for what in SELECTIONS:
            table.progress(f"select {what}")
            call = [sys.executable, "-m", "benchmarks.sharding.selections", name, str(count), what]
            found = json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE).stdout)
            yield Row(f"select {what} of {count:,}: leaves", "samples", found["left"])
            yield Row("time", "CPU s", found["seconds"])
            yield Row("memory", "MB", found["megabytes"])


def _write(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    names = [f"k{number}" for number in range(min(count, _LISTED))]
    keys = random.integers(1, 2**63, count, dtype=np.uint64)
    keys[: len(names)] = [columns.text_hash(name) for name in names]
    columns.write(
        _index(folder, count),
        {
            "clip_score": ("number", random.random(count)),
            "phash": ("text", random.integers(1, max(2, 2 * count), count, dtype=np.uint64)),
            "key": ("text", keys),
            "class": ("class", random.integers(0, _CLASSES, count)),
        },
        lambda index, name, missing: None,
    )
    (folder / "keys.txt").write_text("\n".join(names))


def _index(folder: Path, count: int) -> ShardIndex:
    sizes = [min(_PER_SHARD, count - first) for first in range(0, count, _PER_SHARD)]
    entries = (ShardEntry(f"{n:05d}.tar", size, 0, "") for n, size in enumerate(sizes))
    classes = tuple(map(str, range(_CLASSES)))
    return ShardIndex(folder, tuple(entries), ("cls", "jpg"), classes)


def main() -> None:
    """Choose in this process, and print what that took."""
    folder, count, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    base, begun = peak(), time.process_time()
    if what == "keys":
        path = folder / "keys.txt"
        listed = KeyList(sha256=key_list.digest(path), path=str(path))
        selection, keys = SampleSelection(keys=listed), key_list.hashes(listed)
    else:
        selection, keys = SampleSelection.model_validate(SELECTIONS[what]), None
    chosen = choose(columns.load(_index(folder, count)), selection, seed=0, keys=keys)
    seconds = time.process_time() - begun
    facts = {"left": len(chosen.samples), "seconds": seconds, "megabytes": peak() - base}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
