"""A small study on a real Slurm, to which tests do harm; and what it must come to all the same."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_xfer.store import heartbeat
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Element, read_ledger
from hpc_xfer.study.plan import Plan, Run, make_plan
from hpc_xfer.study.study_file import Study, load_study
from tests import tiny
from tests.cluster import Cluster
from tests.waiting import wait_for

ROOT = Path(__file__).parent.parent
ARCH = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
    "text_cfg": {
        "context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
    },
}  # fmt: skip
GRID = """\
name: faults
pretrain:
  - {{method: {method}, arch: tiny.json{more}}}
finetune:
  datasets: [digits]
  shots: [1]
  draws: {draws}
  mode: [lp]
  solver: adamw
  batch: 32
  epochs: 2
  tune: {{lr: [1e-3, 1e-2]}}
resources:
  pretrain: {{minutes: 1, gpus: {gpus}, workers: 0, log_steps: 5, checkpoint_minutes: 0.02}}
  finetune: {{minutes: 1, target_minutes: {target}, log_steps: 5, per_gpu: {per_gpu}}}
"""
TRAINED = ", source: sans, samples: 512, samples_seen: {seen}, batch: 32, lr: 3e-3, warmup_steps: 9"
STEPS = 320
SLURM = {"gpu_option": "none", "gpus_per_node": 1, "signal_seconds": 30, "relay": {"memory": None}}


@dataclass
class SlurmStudy:
    """A grid, its site and its store (with a space in its path), and the commands on them."""

    folder: Path
    shards: Path
    method: str = "supervised"
    gpus: int = 1
    steps: int = STEPS
    draws: int = 1
    target: float = 30
    per_gpu: int = 1
    slurm: dict[str, Any] = field(default_factory=dict)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.folder / "a store")
        (self.folder / "tiny.json").write_text(json.dumps(ARCH))
        more = TRAINED.format(seen=32 * self.steps) if self.method != "scratch" else ""
        text = GRID.format(
            method=self.method, more=more, gpus=self.gpus, draws=self.draws, target=self.target,
            per_gpu=self.per_gpu,
        )  # fmt: skip
        self.grid.write_text(text)
        site = {"sources": {"sans": str(self.shards / "sans")}, "slurm": {**SLURM, **self.slurm}}
        self.site.write_text(json.dumps(site))

    @property
    def grid(self) -> Path:
        return self.folder / "faults.yaml"

    @property
    def site(self) -> Path:
        return self.folder / "site.yaml"

    @property
    def study(self) -> Study:
        return load_study(self.grid)

    @property
    def plan(self) -> Plan:
        return make_plan(self.study)

    @property
    def parent(self) -> Run:
        return self.plan.of("pretrain")[0]

    @property
    def parent_dir(self) -> RunDir:
        return self.store.run(self.parent.id)

    def command(self, module: str, *more: str) -> list[str]:
        places = ["--site", str(self.site), "--store", str(self.store.root)]
        return [sys.executable, "-m", f"hpc_xfer.{module}", str(self.grid), *places, *more]

    def call(self, module: str, *more: str, code: int | None = 0) -> str:
        """Standard output of a command on this study."""
        done = subprocess.run(self.command(module, *more), capture_output=True, text=True, cwd=ROOT)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def run(self, module: str, grid: Path, code: int = 0) -> str:
        """Standard output of a command on another grid, with the same site and store."""
        command = self.command(module)
        command[3] = str(grid)
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def launch(self, *more: str, code: int | None = 0) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.call("launch", "--json", *more, code=code) or "{}")
        return told

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.call("status", "--json", code=None))
        return told

    def step(self) -> int:
        """Return the last step of the pre-training."""
        return int((heartbeat.read(self.parent_dir) or {}).get("step", 0))

    def reaches(self, step: int) -> None:
        wait_for(lambda: self.step() >= step)

    def job(self) -> str:
        """The pre-training's."""
        job = self.places(self.parent.id)[-1].job
        assert job is not None
        return job

    def places(self, run: str) -> list[Element]:
        return read_ledger(self.store).elements_by_run.get(run, [])

    def workers(self, rank: int = 0) -> list[int]:
        """Processes that work on the pre-training as this rank."""
        mark = [b"hpc_xfer.worker", str(self.store.root).encode(), b"--rank", str(rank).encode()]
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if all(word in words for word in mark):
                found.append(int(process.name))
        return found

    def is_over(self, cluster: Cluster) -> bool:
        """Nothing of it is in the queue any more, relays included."""
        return not cluster.live()

    def ends(self, cluster: Cluster, seconds: float = 1200) -> None:
        """Wait for the end of the last relay; then every run must have its record."""
        wait_for(lambda: self.is_over(cluster), seconds)
        missing = [run.id for run in self.plan.runs if not self.store.is_done(run)]
        assert not missing, self.logs()

    def results(self) -> dict[str, Any]:
        """Everything of all records that must not depend on what happened on the way."""
        return {run.id: tiny.result(self.store.run(run.id)) for run in self.plan.runs}

    def logs(self) -> str:
        logs = sorted(self.store.study("faults").logs.glob("*.out"))
        return "\n".join(
            f"== {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs
        )


def undisturbed(folder: Path, shards: Path, **more: Any) -> SlurmStudy:
    """The same study on this machine, without Slurm."""
    folder.mkdir(exist_ok=True)
    one = SlurmStudy(folder, shards, **more)
    one.call("launch", "--on", "local", "--jobs", "1")
    return one


def relay(study: SlurmStudy) -> "subprocess.CompletedProcess[str]":
    """Run what the relay job runs, at once."""
    places = ["--store", str(study.store.root), "--site", str(study.site)]
    call = [sys.executable, "-m", "hpc_xfer.relay", "--study", "faults", *places]
    return subprocess.run(call, capture_output=True, text=True, cwd=ROOT)


def kill(pids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    assert pids, "no such process"
    for pid in pids:
        os.kill(pid, number)
