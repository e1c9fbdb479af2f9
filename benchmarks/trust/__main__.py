"""Measure what it costs to trust nothing: status, collect and weights, beside the commit before.

    python -m benchmarks.trust

The peer is the commit before files of a store were opened without following links, checked for
owner and mode, and read by typed readers. `python -m benchmarks.loader --before 500c217` does the
same for the loading of images. Each figure is the median of five rounds, ours and the peer in turn.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.collect import store_of_40000
from benchmarks.harness import before, table
from benchmarks.harness.table import Row
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study

_BEFORE = "500c217"
_ROUNDS = 5
_LEAST = 1 / 1.1  # of the peer's speed
_READ = """\
import sys, time
from pathlib import Path
from hpc_xfer.compute.models import weights_file
path = Path(sys.argv[1])
weights_file.read(path)  # the first one finds the file in no cache
began = time.process_time()
for _ in range(5):
    weights_file.read(path)
print((time.process_time() - began) / 5)
"""
_WRITE = """\
import sys, torch
from pathlib import Path
from hpc_xfer.compute.models import weights_file
tensors = {str(i): torch.randn(1 << 20) for i in range(100)}
weights_file.write(Path(sys.argv[1]), {"visual": tensors})
"""


@dataclass(frozen=True)
class _Command:
    """A command on a study, run by the package of a folder."""

    words: tuple[str, ...]

    def seconds(self, tree: Path) -> float:
        """Seconds of CPU, user and system, of all threads."""
        process = subprocess.Popen(
            [sys.executable, "-m", *self.words], cwd=tree, env=before.environment(tree),
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{self.words} ended with {process.returncode}"
        return used.ru_utime + used.ru_stime


def rows() -> Iterator[Row]:
    old = before.tree(_BEFORE)
    with tempfile.TemporaryDirectory() as folder:
        grid, store, runs = _written(Path(folder))
        arguments = (str(grid), "--store", str(store))
        for command in ("status", "collect"):
            words = (f"hpc_xfer.{command}", *arguments)
            yield _in_turn(f"{command}, {runs:,} finished runs", _Command(words).seconds, old)
        weights = Path(folder) / "weights.pt"
        _python(_WRITE, old, weights)
        yield _in_turn(
            "read weights of 420 MB", lambda tree: float(_python(_READ, tree, weights)), old
        )


def _written(folder: Path) -> tuple[Path, Path, int]:
    grid = folder / "size_scaling.yaml"
    store_of_40000.write_grid(grid)
    plan, store = make_plan(load_study(grid)), Store(folder / "store")
    store.open()
    table.progress(f"writing {len(plan.runs):,} records ...")
    store_of_40000.write_records(plan, store)
    return grid, store.root, len(plan.runs)


def _in_turn(what: str, seconds: Callable[[Path], float], old: Path) -> Row:
    seconds(before.ROOT)  # both find what a first call leaves
    seconds(old)
    pairs = [(seconds(before.ROOT), seconds(old)) for _ in range(_ROUNDS)]
    ours, theirs = (median(side) for side in zip(*pairs, strict=True))
    return Row(what, "s CPU", ours, theirs, _BEFORE, less_is_better=True, least=_LEAST)


def _python(code: str, tree: Path, path: Path) -> str:
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(
        command, cwd=tree, env=before.environment(tree), stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, f"{path}: cannot be read by {tree}"
    return done.stdout


def main() -> None:
    args = table.arguments("trust", __doc__ or "").parse_args()
    table.show(rows(), args.json)


if __name__ == "__main__":
    main()
