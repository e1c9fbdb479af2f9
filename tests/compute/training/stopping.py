"""Runs that are stopped in the middle, and their checkpoints."""

from pathlib import Path
from typing import Any

import torch

from hpc_xfer.compute.models import weights_file
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from tests import tiny

ALWAYS: dict[str, Any] = {"checkpoint_minutes": 1e-9}  # a checkpoint after each step but the last


def a(kind: str) -> Run:
    if kind in ("ft", "lp"):
        make = tiny.finetuning if kind == "ft" else tiny.head
        return make(tiny.pretraining("clip"), epochs=4)
    return tiny.pretraining(kind)


def stopped(tmp_path: Path, run: Run, shards: Path, steps: int = 5) -> RunDir:
    """A run with two checkpoints, the newer of step `steps`."""
    events = tiny.execute(Store(tmp_path), run, shards, stop=tiny.StopAfter(steps), **ALWAYS)
    assert events[-1]["event"] == "interrupted"
    folder = Store(tmp_path).run(run.id)
    assert [step_of(folder.checkpoint), step_of(folder.previous_checkpoint)] == [steps, steps - 1]
    return folder


def step_of(path: Path) -> int:
    state = weights_file.read(path)
    assert state is not None
    return int(state["step"])


class StopTogetherAfter(tiny.StopAfter):
    """Counts looks only after the ranks have joined."""

    @property
    def requested(self) -> bool:
        return torch.distributed.is_initialized() and super().requested
