"""Read tables of captions as `shards make` does: rows per second, and the peak of memory.

Rows are read to the end, then 100,000 of them in shuffled order; no image is opened.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.harness import table
from benchmarks.harness.memory import peak
from benchmarks.harness.table import Row

_BATCH = 100_000
_SHUFFLED = 100_000
_CAPTION, _PATH = 150, 80  # bytes
_MOST = 500  # MB beside Python and torch, for 15 million rows


def rows(count: int) -> Iterator[Row]:
    """Measure a table of so many rows in row groups of a million, and in a single one."""
    with tempfile.TemporaryDirectory() as name:
        for what, group in (("of a million rows", 1_000_000), ("of all rows", count)):
            table.progress(f"a table of {count:,} rows, row groups {what}")
            path = _write(Path(name) / "t.parquet", count, group)
            call = [sys.executable, "-m", "benchmarks.sharding.tables", str(path)]
            done = subprocess.run(call, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            case = f"read {count:,} rows, row groups {what}"
            yield Row(case, "rows/s", count / found["seconds"])
            yield Row(f"{case}: memory", "MB", found["megabytes"], most=_MOST)
            yield Row("rows in shuffled order", "rows/s", _SHUFFLED / found["shuffled"])


def _write(path: Path, count: int, group: int) -> Path:
    """Write a table a batch at a time, so that writing it takes little memory too."""
    random = np.random.default_rng(0)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz      ", np.uint8)
    schema = pa.schema([("image", pa.string()), ("caption", pa.string()), ("label", pa.int64())])
    with parquet.ParquetWriter(path, schema, max_rows_per_page=20_000) as writer:
        for first in range(0, count, group):
            parts = [
                _part(random, letters, start, min(_BATCH, first + group - start, count - start))
                for start in range(first, min(first + group, count), _BATCH)
            ]
            writer.write_table(pa.Table.from_batches(parts, schema), row_group_size=group)
    return path


def _part(random: np.random.Generator, letters: Any, first: int, rows: int) -> Any:
    signs = letters[random.integers(0, len(letters), rows * _CAPTION)]
    ends = np.arange(rows + 1, dtype=np.int32) * _CAPTION
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(signs)]
    captions = pa.Array.from_buffers(pa.string(), rows, buffers)
    paths = [f"{i:0{_PATH - 4}d}.jpg" for i in range(first, first + rows)]
    labels = random.integers(0, 1000, rows)
    return pa.record_batch({"image": paths, "caption": captions, "label": labels})


def main() -> None:
    """Read a table in this process, and print what that took."""
    from hpc_xfer.compute.shard_tools.table_input import Table
    from hpc_xfer.compute.shard_tools.tables.table_rows import Columns

    path = Path(sys.argv[1])
    base, begun = peak(), time.perf_counter()
    found = Table(path, Columns("image", "caption", "label"), scratch=path.parent / "rows")
    read = time.perf_counter()
    order = np.random.default_rng(0).permutation(len(found))  # as `shards make` has it
    for first in range(0, min(_SHUFFLED, len(found)), 1000):
        found.rows(order[first : first + 1000].tolist())
    done = time.perf_counter()
    facts = {"seconds": read - begun, "shuffled": done - read, "megabytes": peak() - base}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
