"""Owners of a run besides this process, and claims as they would leave them."""

import json
import os
import subprocess
import sys
import time

from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files

TAKE = """
import sys; from pathlib import Path
from hpc_xfer.store.ownership import run_claims; from hpc_xfer.store.paths import RunDir
print('ready', flush=True); sys.stdin.readline()
print(run_claims.take(RunDir(Path(sys.argv[1]))) is not None, flush=True); sys.stdin.readline()
"""


class Taker:
    """Another process that takes a run and lives until the test ends it."""

    def __init__(self, run: RunDir) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE, str(run.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.said() == "ready"

    def said(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def change(run: RunDir, **content: object) -> None:
    """Change the claim in force, as if another process had written it."""
    path = run.claims / f"{run_claims.attempts(run)}.json"
    atomic_files.write_json(path, {**json.loads(path.read_text()), **content})


def age(run: RunDir, seconds: float) -> None:
    for path in (*run.claims.iterdir(), *([run.progress] if run.progress.exists() else [])):
        os.utime(path, (time.time() - seconds,) * 2)
