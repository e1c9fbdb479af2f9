"""Take a study through all its steps at 4,000 and at 40,000 runs: seconds, memory, growth.

    python -m benchmarks.launch_scale --growth
    python -m benchmarks.launch_scale --growth --runs 400 4000

The study has the shape of the union of all grids: encoders of several sizes at 3 seeds, ten draws,
five shot counts, a converged probe and fine-tunings. Each step is the real command in a process of
its own, on a real Slurm whose nodes are drained. Growth is the exponent e of cost ~ runs^e; 1 is
linear. A part of each cost does not grow, so that e is below 1 where the rest is linear.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.collect import store_of_40000
from benchmarks.harness import before, table
from benchmarks.harness.table import Row
from hpc_xfer.slurm.queue import current_user
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.cluster import Cluster
from tests.fabricated import source

SIZES = (4_000, 40_000)
_LARGEST_GROWTH = 1.1  # 1 is linear; a tenth for a machine that does other things too
_RUNS_OF_AN_ENCODER = 382  # 2 data sets, 5 shot counts, 10 draws, 3 learning rates and a probe
_GRID = """\
name: union
pretrain:
  - {method: scratch, arch: archs/glyph.json}
  - method: clip
    arch: archs/glyph.json
    source: made
    samples: [%s]
    epochs: 1
    batch: 100
    seed: [0, 1, 2]
finetune:
  - {datasets: [digits, mnist5k], shots: [1, 5, 10, 20, full], draws: 10, mode: [lp]}
  - datasets: [digits, mnist5k]
    shots: [1, 5, 10, 20, full]
    draws: 10
    mode: [ft]
    tune: {lr: [1e-3, 3e-3, 1e-2]}
resources:
  finetune: {minutes: {1: 2, 5: 5, 10: 10, 20: 15, full: 30}, target_minutes: 30}
"""
_SITE: dict[str, object] = {"slurm": {"gpu_option": "none", "relay": {"memory": None}}}
# Step -> command; the records are written between `status` and `collect`.
_STEPS: dict[str, tuple[str, ...]] = {
    "plan": ("launch", "--dry-run", "--on", "slurm"),
    "submit": ("launch",),
    "status, all queued": ("status",),
    "launch again, all queued": ("launch",),
}
_STEPS_DONE: dict[str, tuple[str, ...]] = {
    "collect": ("collect",),
    "report": ("report",),
    "status, each record read once": ("status",),
    "status, all done": ("status",),
    "launch again, all done": ("launch",),
    "store": (),
}
_MOST_SECONDS = {"status, all done": 2.0, "launch again, all done": 2.0}


@dataclass(frozen=True)
class Cost:
    """Seconds and memory that a step took."""

    seconds: float
    cpu_seconds: float  # of our process: what the machine does besides counts less in them
    megabytes: float  # of memory, at most


def rows(sizes: Sequence[int] = SIZES) -> list[Row]:
    """Measure each step at each size."""
    costs: dict[int, dict[str, Cost]] = {}
    runs: list[int] = []
    files = 0.0
    for size in sizes:
        cluster = Cluster.start(nodes=1, settings={"MaxJobCount": "60000"})
        try:
            cluster.drain()
            with tempfile.TemporaryDirectory() as folder:
                study = _Study(Path(folder), cluster, size)
                costs[size] = study.measured()
                files = study.files_of_a_run
                runs.append(study.runs)
        finally:
            cluster.stop()
    return list(_rows(runs, list(costs.values()), files))


def _rows(runs: Sequence[int], costs: Sequence[dict[str, Cost]], files: float) -> Iterator[Row]:
    for step, last in costs[-1].items():
        what = f"{step}, {runs[-1]:,} runs"
        yield Row(what, "s", last.seconds, less_is_better=True, most=_MOST_SECONDS.get(step))
        yield Row(what, "MB", last.megabytes, less_is_better=True, most=1_000)
        if len(runs) > 1:
            first = costs[0][step]
            yield _growth(f"{step}: growth of CPU time", runs, first.cpu_seconds, last.cpu_seconds)
            yield _growth(f"{step}: growth of memory", runs, first.megabytes, last.megabytes)
    yield Row("files and folders that a run leaves", "", files, less_is_better=True, most=5)


def _growth(what: str, runs: Sequence[int], first: float, last: float) -> Row:
    exponent = math.log(last / first) / math.log(runs[-1] / runs[0])
    return Row(
        f"{what}, {runs[0]:,} to {runs[-1]:,} runs", "exponent", exponent, less_is_better=True,
        most=_LARGEST_GROWTH,
    )  # fmt: skip


class _Study:
    """A study of about so many runs, and the commands on it."""

    def __init__(self, folder: Path, cluster: Cluster, size: int) -> None:
        self.cluster, self.store = cluster, Store(folder / "store")
        sizes = math.ceil((size / _RUNS_OF_AN_ENCODER - 1) / 3)  # at 3 seeds each
        samples = [1_000 * (i + 1) for i in range(max(1, sizes))]
        self.grid, site = folder / "union.yaml", folder / "site.yaml"
        shutil.copytree(before.ROOT / "grids/archs", folder / "archs")
        self.grid.write_text(_GRID % ", ".join(map(str, samples)))
        source(folder / "made", "txt png", samples[-1])
        site.write_text(json.dumps({**_SITE, "sources": {"made": str(folder / "made")}}))
        self._places = ["--site", str(site), "--store", str(self.store.root)]
        self.plan = make_plan(load_study(self.grid))
        self.runs = len(self.plan.runs)
        self.files_of_a_run = 0.0

    def measured(self) -> dict[str, Cost]:
        """Take the study through all steps; return what each took."""
        found = {step: self._call(step, *command) for step, command in _STEPS.items()}
        self.cluster.run("scancel", "-u", current_user())
        begun = time.perf_counter()
        store_of_40000.write_records(self.plan, self.store)
        table.progress(f"  {self.runs:,} records written in {time.perf_counter() - begun:.0f} s")
        time.sleep(3)  # folders that changed a moment ago are read once more
        for step, command in _STEPS_DONE.items():
            found[step] = self._call(step, *command)
        return found

    def _call(self, step: str, module: str = "store", *options: str) -> Cost:
        grid = [] if module in ("collect", "report") else ["--json"]
        command = [sys.executable, "-m", f"hpc_xfer.{module}", str(self.grid), *options]
        command += [*self._places, *grid]
        begun = time.perf_counter()
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(
                command, cwd=before.ROOT, stdout=out,
                env={**before.environment(before.ROOT), **self.cluster.env},
            )  # fmt: skip
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0, f"{command} ended with {process.returncode}"
            out.seek(0)
            if module == "store":
                told = json.load(out)
                self.files_of_a_run = told["files"] / told["runs"]
        cost = Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
        took = f"{cost.seconds:.1f} s ({cost.cpu_seconds:.1f} of CPU)"
        table.progress(f"  {step}: {took}, {cost.megabytes:.0f} MB")
        return cost
