"""Make, index and check shards: images per second on all cores, beside one process.

    python -m benchmarks.sharding
    python -m benchmarks.sharding --before 8671c5b     # beside an older commit alone
    python -m benchmarks.sharding --rows 15000000      # read a table of so many rows alone
    python -m benchmarks.sharding --samples 15000000   # select from so many samples alone

Of 10,000 photograph-like JPEGs of 512 px in a folder, warm in the page cache: enough for the start
of the processes, which takes a second, not to be what is measured.
"""

import io
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import before, table
from benchmarks.harness.interleave import in_turn
from benchmarks.harness.table import Row
from benchmarks.sharding import selections, tables
from hpc_xfer.system.machine import cores

_IMAGES = 10_000
_ROUNDS = 3
_ROOT = Path(__file__).parent.parent.parent


def photos(folder: Path) -> Path:
    """Smooth noise: 30 kB each, as photographs of this size have."""
    for i in range(_IMAGES):
        path = folder / str(i % 10) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < 50:
            path.write_bytes(_photo(i))
        else:
            os.link(folder / str(i % 10) / f"{i % 50}.jpg", path)
    return folder


def _photo(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((683, 512), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.normal(0, 6, smooth.shape).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(buffer, "jpeg")
    return buffer.getvalue()


def seconds(*arguments: str, tree: Path = _ROOT) -> float:
    begun = time.perf_counter()
    call = [sys.executable, "-m", "hpc_xfer.shards", *arguments]
    subprocess.run(call, check=True, capture_output=True, cwd=tree, env=before.environment(tree))
    return time.perf_counter() - begun


def rows() -> Iterator[Row]:
    many = cores()
    small = ["--short-side", "256"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = str(photos(folder / "photos"))
        for what, options in (("make", []), ("make --short-side 256", small)):
            yield _row(
                f"shards {what}",
                *(
                    seconds("make", source, f"{folder}/{what}{n}", *options, "--per-shard", "50",
                            "--workers", str(n))
                    for n in (1, many)
                ),
            )  # fmt: skip
        for what in ("index", "check"):
            yield _row(
                f"shards {what}",
                *(seconds(what, f"{folder}/make1", "--workers", str(n)) for n in (1, many)),
            )


def rows_beside_before(commit: str) -> Iterator[Row]:
    """Each command beside itself at an older commit, in turns, with one process."""
    trees = (_ROOT, before.tree(commit))
    with tempfile.TemporaryDirectory() as name:
        source, made = str(photos(Path(name) / "photos")), f"{name}/made"
        outs = itertools.count()
        calls: dict[str, Callable[[], list[str]]] = {
            "make": lambda: ["make", source, f"{name}/{next(outs)}", "--per-shard", "500"],
            "index": lambda: ["index", made],
            "check": lambda: ["check", made],
        }
        seconds("make", source, made, "--per-shard", "500")
        for what, call in calls.items():
            table.progress(f"shards {what}")
            now, then = in_turn(
                _ROUNDS,
                *(
                    lambda call=call, tree=tree: seconds(*call(), "--workers", "1", tree=tree)
                    for tree in trees
                ),
            )
            yield Row(
                f"shards {what}", "images/s", _IMAGES / now, _IMAGES / then, peer_is=commit,
                least=0.97,
            )  # fmt: skip


def _row(what: str, one: float, many: float) -> Row:
    table.progress(what)
    return Row(what, "images/s", _IMAGES / many, _IMAGES / one, peer_is="one process")


def main() -> None:
    parser = table.arguments("sharding", __doc__ or "")
    parser.add_argument("--before", metavar="COMMIT", help="measure beside this one")
    parser.add_argument("--rows", type=int, help="of a table with captions of 150 bytes")
    parser.add_argument("--samples", type=int, help="of a source with columns to select by")
    args = parser.parse_args()
    if args.rows:
        found = tables.rows(args.rows)
    elif args.samples:
        found = selections.rows(args.samples)
    else:
        found = rows_beside_before(args.before) if args.before else rows()
    table.show(found, args.json)


if __name__ == "__main__":
    main()
