"""Measure how long a checkpoint delays the training: written by a thread, and in the loop.

    python -m benchmarks.checkpoint
    python -m benchmarks.checkpoint --arch ViT-B-32 --batch 64      # on a GPU

Weights, optimizer and all else of a CLIP run are saved. The delay is the time that steps took
longer than without a checkpoint: the copy to the host, and on a CPU the cores that the writing
thread uses. Its share is given for the default of one checkpoint in ten minutes.
"""

import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.harness import table
from benchmarks.harness.table import Row
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.pretraining.objectives import make_objective
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.compute.training.optimizer import adamw
from hpc_xfer.compute.training.step import Schedule, Stepper
from hpc_xfer.config.recipes import Clip
from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir


def rows(args: Namespace) -> Iterator[Row]:
    world = World(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    step = _steps(args, world)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        run = RunDir(Path(folder) / "c0ffee12ab34")
        with Checkpoints(run, run_claims.take(run)) as checkpoints:
            state = step.stepper.state_dict
            held: dict[str, list[float]] = {"thread": [], "loop": []}
            for number in range(args.rounds):
                table.progress(f"checkpoint: round {number + 1} of {args.rounds}")
                quiet = step.seconds(args.steps)
                held["thread"].append(
                    step.seconds(args.steps, lambda: checkpoints.begin(state())) - quiet
                )
                checkpoints.wait()
                held["loop"].append(
                    step.seconds(args.steps, lambda: checkpoints.save(state())) - quiet
                )
        size = run.checkpoint.stat().st_size / 1e9
    ours, peer = (statistics.median(held[name]) for name in ("thread", "loop"))
    what = f"hold-up by a checkpoint of {args.arch}, {size:.1f} GB"
    yield Row(what, "s", ours=ours, peer=peer, peer_is="written in the loop", less_is_better=True)
    every = 60 * PretrainResources().checkpoint_minutes
    yield Row("its share of the time, one in 10 min", "%", ours=100 * ours / every, most=1.0)


class _Steps:
    def __init__(self, stepper: Stepper, batch: dict[str, torch.Tensor]) -> None:
        self.stepper, self.batch, self.number = stepper, batch, 0

    def seconds(self, steps: int, first: Callable[[], None] | None = None) -> float:
        """Run `first`, then so many steps; return the seconds of both."""
        begun = time.perf_counter()
        if first is not None:
            first()
        for _ in range(steps):
            self.stepper.step(self.batch, self.number)
            self.number += 1
        if self.stepper.world.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def _steps(args: Namespace, world: World) -> _Steps:
    recipe = Clip(
        arch=args.arch, source="memory", samples=args.batch, samples_seen=args.batch,
        batch=args.batch,
    )  # fmt: skip
    towers = encoders.build(recipe.arch, 0, with_text=True)
    objective = make_objective(recipe, towers, 0, world).to(world.device)
    optimizer = adamw(objective, recipe.lr, recipe.weight_decay, recipe.betas, recipe.eps)
    pace = Schedule(10_000, recipe.batch, recipe.lr, 0, recipe.grad_clip, recipe.precision)
    size = towers.image_size
    batch = {
        "images": torch.randint(256, (recipe.batch, 3, size, size), dtype=torch.uint8),
        "tokens": encoders.tokenizer(recipe.arch)(["a photo"] * recipe.batch),
    }
    steps = _Steps(Stepper(objective, optimizer, pace, world), batch)
    steps.seconds(2)  # the optimizer gets its state
    return steps


def main() -> None:
    parser = table.arguments("checkpoint", __doc__ or "")
    parser.add_argument("--arch", default="RN50", help="open_clip's name (RN50)")
    parser.add_argument("--batch", type=int, default=4, help="samples (4)")
    parser.add_argument("--steps", type=int, default=8, help="that a checkpoint may go beside (8)")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many (3)")
    parser.add_argument("--folder", help="on the disk to be measured (that of temporary files)")
    args = parser.parse_args()
    table.show(rows(args), args.json)


if __name__ == "__main__":
    main()
