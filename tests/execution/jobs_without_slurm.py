"""Jobs as Slurm would start them: supervisor, worker and signals are real, scontrol is a script."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_xfer.store import failures, heartbeat
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run
from tests import tiny
from tests.conftest import ROOT
from tests.waiting import wait_for

ENDLESS = 10_000  # steps


@dataclass
class Jobs:
    """A store, and jobs on it as Slurm would start them."""

    root: Path
    shards: Path
    slurm: dict[str, Any] = field(default_factory=dict)  # of the site
    device: str = "cpu"  # given to the workers
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.root / "store")
        self.store.open()
        scontrol = self.root / "bin/scontrol"
        scontrol.parent.mkdir()
        scontrol.write_text(f'#!/bin/sh\necho "$@" >> "{self.root}/scontrol.log"\n')
        scontrol.chmod(0o755)

    def batch(self, *runs: Run, **resources: Any) -> str:
        """Write one pack of these runs; return the id of its job array."""
        base = tiny.PRETRAIN if runs[0].kind == "pretrain" else tiny.FINETUNE
        own = tiny.with_changes(base, resources).model_dump(mode="json")
        batch = JobArray((Pack(runs, 1.0, own["gpus"]),))
        self.store.write_manifest("study", batch, own)
        return batch.id

    def start(
        self, batch: str, job: str = "812", restarts: int = 0, rank: int = 0, size: int = 1
    ) -> subprocess.Popen[str]:
        """Start one rank; its log lies where Slurm would write it."""
        site = self.root / "site.yaml"
        site.write_text(json.dumps({"sources": {"sans": str(self.shards)}, "slurm": self.slurm}))
        env = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")} | {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "SLURM_JOB_ID": job,
            "SLURM_JOB_NAME": f"pre.{batch}",
            "SLURM_RESTART_COUNT": str(restarts),
            "SLURM_NTASKS": str(size),
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(rank),
            "SLURMD_NODENAME": f"n{rank + 1}",
            "HPC_XFER_DEVICE": self.device,
        }
        command = [sys.executable, "-u", "-m", "hpc_xfer.job", "--store", str(self.store.root)]
        command += ["--study", "study", "--site", str(site), "--batch", batch]
        log = self.log(job, rank)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out:
            process = subprocess.Popen(
                command, env=env, cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def log(self, job: str = "812", rank: int = 0) -> Path:
        return self.store.study("study").logs / f"{job}_{rank}_log.out"

    def output(self, job: str = "812", rank: int = 0) -> str:
        return self.log(job, rank).read_text()

    def events(self, job: str = "812") -> list[tuple[str, str | None]]:
        """Events of the workers of rank 0."""
        lines = [line for line in self.output(job).splitlines() if line.startswith('{"event"')]
        return [(each["event"], each.get("run")) for each in map(json.loads, lines)]

    def requeued(self) -> str:
        log = self.root / "scontrol.log"
        return log.read_text() if log.exists() else ""

    def dir(self, run: Run) -> RunDir:
        return self.store.run(run.id)

    def step(self, run: Run) -> int:
        return int((heartbeat.read(self.dir(run)) or {}).get("step", 0))

    def error(self, run: Run) -> dict[str, Any]:
        error = failures.read(self.dir(run))
        assert error is not None, self.output()
        return error

    def end(self) -> None:
        for process in self.started:
            for pid in (*below(process.pid), process.pid):
                kill(pid)
            process.wait()


def below(pid: int) -> list[int]:
    """All descendants of a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *below(child))]


def worker(supervisor: subprocess.Popen[str]) -> int:
    return below(supervisor.pid)[0]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def code(supervisor: subprocess.Popen[str], seconds: float = 300) -> int:
    return supervisor.wait(seconds)


def endless() -> Run:
    return tiny.pretraining("supervised", samples_seen=32 * ENDLESS)


def training(jobs: Jobs, run: Run, step: int = 10, **resources: Any) -> subprocess.Popen[str]:
    """Start a job and wait until it is in the middle of this run."""
    supervisor = jobs.start(jobs.batch(run, **resources))
    wait_for(lambda: jobs.step(run) >= step or supervisor.poll() is not None)
    assert supervisor.poll() is None, jobs.output()
    return supervisor
