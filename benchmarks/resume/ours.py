"""Ours for `resume`: a pre-training that can be killed and goes on when it is called again.

python -m benchmarks.resume.ours FILE REQUEST    # each step puts a byte into FILE
"""

import json
import sys
from pathlib import Path

from benchmarks.harness import clock
from benchmarks.step.ours import prepared
from hpc_xfer import worker
from hpc_xfer.config.resources import PretrainResources


def train(root: str, folder: str, model: str, batch: int, steps: int, seconds: float) -> None:
    """
    Args:
        seconds: between checkpoints.
    """
    resources = PretrainResources(workers=1, checkpoint_minutes=seconds / 60)
    _, call = prepared(Path(root), folder, model, batch, steps, "fp32", resources)
    if worker.main(call):
        sys.exit("the run failed")


if __name__ == "__main__":
    with clock.steps_noted(Path(sys.argv[1])):
        train(**json.loads(sys.argv[2]))
