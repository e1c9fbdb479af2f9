"""Collect and report a fabricated study of 40,000 finished runs: CPU seconds and memory.

    python -m benchmarks.collect

The peer is the commit before answers, intervals over test images and the cache came; it makes four
of the nine tables, and has nothing to remember. "Again" is after a first call; the files of the
store are in the page cache throughout. The median of three rounds, ours and the peer in turn.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.collect import store_of_40000
from benchmarks.harness import before, table
from benchmarks.harness.table import Row
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, make_plan
from hpc_xfer.study.study_file import load_study

_BEFORE = "f6ac0c8"
_ROUNDS = 3


@dataclass(frozen=True)
class _Cost:
    seconds: float  # of CPU, user and system, of all threads
    megabytes: float  # at most


@dataclass(frozen=True)
class _Study:
    grid: Path
    plan: Plan
    store: Store

    def run(self, command_name: str, tree: Path) -> _Cost:
        """Run a command of a tree on the study."""
        command = [sys.executable, "-m", f"hpc_xfer.{command_name}", str(self.grid)]
        command += ["--store", str(self.store.root)]
        process = subprocess.Popen(
            command, cwd=tree, env=before.environment(tree), stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{command} ended with {process.returncode}"
        return _Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def forget(self) -> None:
        """Remove all that a collect left, and the result of the last run."""
        shutil.rmtree(self.store.all_studies, ignore_errors=True)
        shutil.rmtree(self.store.run(self.plan.runs[-1].id).path, ignore_errors=True)

    def finish_last(self) -> None:
        store_of_40000.write_record(self.plan.runs[-1], self.store, len(self.plan.runs))


def rows() -> Iterator[Row]:
    old = before.tree(_BEFORE)
    with tempfile.TemporaryDirectory() as folder:
        study = _written(Path(folder))
        taken = [_round(study, old) for _ in range(_ROUNDS)]
    cold, again, one_new, report, old_cold, old_one_new = (
        [each[i] for each in taken] for i in range(len(taken[0]))
    )
    runs = f"{len(study.plan.runs):,} records"
    yield Row(
        f"collect of {runs}", "s CPU", _seconds(cold), _seconds(old_cold), _BEFORE,
        less_is_better=True, most=12,
    )  # fmt: skip
    yield Row(
        "again with one new record", "s CPU", _seconds(one_new), _seconds(old_one_new), _BEFORE,
        less_is_better=True, most=1.5,
    )  # fmt: skip
    yield Row(
        "again, nothing new", "s CPU", _seconds(again), _seconds(old_one_new), _BEFORE,
        less_is_better=True, most=1.5,
    )  # fmt: skip
    yield Row("report of it", "s CPU", _seconds(report), less_is_better=True, most=20)
    yield Row("memory of report at most", "MB", _memory(report), less_is_better=True, most=500)
    yield Row(
        "memory of collect at most", "MB", _memory([*cold, *again, *one_new]),
        _memory([*old_cold, *old_one_new]), _BEFORE, less_is_better=True, most=500,
    )  # fmt: skip


def _written(folder: Path) -> _Study:
    grid = folder / "size_scaling.yaml"
    store_of_40000.write_grid(grid)
    study = _Study(grid, make_plan(load_study(grid)), Store(folder / "store"))
    study.store.open()
    table.progress(f"writing {len(study.plan.runs):,} records ...")
    store_of_40000.write_records(study.plan, study.store)
    return study


def _round(study: _Study, old: Path) -> tuple[_Cost, ...]:
    study.forget()
    cold, again = study.run("collect", before.ROOT), study.run("collect", before.ROOT)
    study.finish_last()
    one_new = study.run("collect", before.ROOT)
    report = study.run("report", before.ROOT)
    study.forget()
    old_cold = study.run("collect", old)
    study.finish_last()
    return cold, again, one_new, report, old_cold, study.run("collect", old)


def _seconds(costs: list[_Cost]) -> float:
    return median(cost.seconds for cost in costs)


def _memory(costs: list[_Cost]) -> float:
    return max(cost.megabytes for cost in costs)


def main() -> None:
    args = table.arguments("collect", __doc__).parse_args()
    table.show(rows(), args.json)


if __name__ == "__main__":
    main()
