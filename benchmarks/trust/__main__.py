"""Measure what it costs to trust nothing: status, collect and weights, beside the commit before.

    python -m benchmarks.trust

The peer is the commit before files of a store were opened without following links, checked for
owner and mode, and read by typed readers. `python -m benchmarks.loader --before 500c217` does the
same for the loading of images. Each figure is the mean of four rounds, in which ours and the peer
share a core.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.collect import store_of_40000
from benchmarks.harness import before, one_core, table
from benchmarks.harness.table import Row
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study

_BEFORE = "500c217"
_ROUNDS = 4
_LEAST = 1 / 1.1  # of the peer's speed
_FROM_RECORDS = "collect from records"
_READ = """\
import sys
from pathlib import Path
from hpc_xfer.compute.models import weights_file
for _ in range(25):  # the imports take as long as 5
    weights_file.read(Path(sys.argv[1]))
"""
_WRITE = """\
import sys, torch
from pathlib import Path
from hpc_xfer.compute.models import weights_file
tensors = {str(i): torch.randn(1 << 20) for i in range(100)}
weights_file.write(Path(sys.argv[1]), {"visual": tensors})
"""


def rows() -> Iterator[Row]:
    old = before.tree(_BEFORE)
    with tempfile.TemporaryDirectory() as folder:
        grid, stores, runs = _written(Path(folder))
        for command, what in (
            ("status", "status"),
            ("collect", _FROM_RECORDS),
            ("collect", "collect again, nothing new"),
        ):
            call = ("-m", f"hpc_xfer.{command}", str(grid), "--store")
            ours, theirs = ((*call, str(store)) for store in stores)
            dropped = [store / "studies" for store in stores if what == _FROM_RECORDS]
            yield _side_by_side(f"{what}, {runs:,} finished runs", ours, theirs, old, dropped)
        weights = Path(folder) / "weights.pt"
        subprocess.run(
            [sys.executable, "-c", _WRITE, str(weights)],
            cwd=old, env=before.environment(old), check=True,
        )  # fmt: skip
        words = ("-c", _READ, str(weights))
        yield _side_by_side("read weights of 420 MB 25 times", words, words, old)


def _written(folder: Path) -> tuple[Path, tuple[Path, Path], int]:
    """Write a grid and two stores with the same records: each side writes beside them."""
    grid = folder / "size_scaling.yaml"
    store_of_40000.write_grid(grid)
    plan, store = make_plan(load_study(grid)), Store(folder / "store")
    store.open()
    table.progress(f"writing {len(plan.runs):,} records ...")
    store_of_40000.write_records(plan, store)
    shutil.copytree(store.root, folder / "copy")
    return grid, (store.root, folder / "copy"), len(plan.runs)


def _side_by_side(
    what: str, ours: Sequence[str], theirs: Sequence[str], old: Path, dropped: Sequence[Path] = ()
) -> Row:
    """Measure both programs; folders that are dropped hold what earlier rounds made of records."""

    def drop() -> None:
        for folder in dropped:
            for cache in folder.glob("*/cache"):
                shutil.rmtree(cache)

    table.progress(what)
    taken = [
        [side.cpu_s for side in pair]
        for pair in one_core.pairs(ours, theirs, old, _ROUNDS + 1, drop)
    ]
    # The first round leaves what a first call leaves, which both find afterwards.
    mine, peer = (fmean(side) for side in zip(*taken[1:], strict=True))
    return Row(what, "s CPU", mine, peer, _BEFORE, less_is_better=True, least=_LEAST)


def main() -> None:
    args = table.arguments("trust", __doc__ or "").parse_args()
    table.show(rows(), args.json)


if __name__ == "__main__":
    main()
