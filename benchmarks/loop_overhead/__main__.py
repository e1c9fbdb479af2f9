"""Measure what the training loop adds to bare forward, backward and update, on a batch in memory.

python -m benchmarks.loop_overhead
python -m benchmarks.loop_overhead --arch RN50 --batch 256 --precision bf16    # on a GPU

Both sides take turns of some steps with models of the same weights; the share is the median over
rounds. Rows of metrics and signs of life are written as in any run, checkpoints are not.
"""

import copy
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness import table
from benchmarks.harness.table import Row, progress
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.pretraining.objectives import make_objective
from hpc_xfer.compute.training.loop import LoopOptions, train
from hpc_xfer.compute.training.optimizer import adamw
from hpc_xfer.compute.training.step import Schedule
from hpc_xfer.config.recipes import Arch, Architecture, Clip
from hpc_xfer.store.paths import RunDir

ROOT = Path(__file__).parent.parent.parent


class InMemory:
    """The same batch at each step."""

    def __init__(self, batch: dict[str, Tensor]) -> None:
        self.batch = batch

    def pieces(self, steps: range, worker: int, workers: int) -> Iterator[dict[str, Any]]:
        for _ in steps:
            yield self.batch


def main() -> None:
    parser = table.arguments("loop_overhead", __doc__ or "")
    parser.add_argument("--arch", default=str(ROOT / "grids" / "archs" / "glyph.json"))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--steps", type=int, default=40, help="of a turn")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    world = World(device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    recipe = Clip(
        arch=_arch(args.arch),
        source="memory",
        samples=args.batch,
        samples_seen=args.batch,
        batch=args.batch,
        precision=args.precision,
    )
    bare: list[float] = []
    loop: list[float] = []
    towers = encoders.build(recipe.arch, 0, with_text=True)
    objective = make_objective(recipe, towers, 0, world).to(world.device)
    batch = _batch(recipe, towers.image_size, world.device)
    for number in range(args.rounds + 1):
        turns = {"bare": _bare, "train": _train}
        times = {
            name: _seconds(turns[name], copy.deepcopy(objective), batch, recipe, args.steps, world)
            for name in sorted(turns, reverse=number % 2 == 1)
        }
        if number:  # the first warms caches
            bare.append(times["bare"])
            loop.append(times["train"])
            told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items())
            progress(f"  round {number} of {args.rounds}: {told}")
    share = statistics.median(b / a - 1 for a, b in zip(bare, loop, strict=True))
    step = statistics.median(bare) / args.steps
    arch = Path(args.arch).stem
    what = f"loop beside bare steps, clip {arch}, batch {args.batch}, {args.precision}"
    table.show(
        [
            Row(what, "ms/step", step * 1e3 * (1 + share), step * 1e3, "bare", less_is_better=True),
            Row("share that the loop adds", "%", 100 * share, most=3.0),
        ],
        args.json,
    )


def _seconds(turn: Any, objective: nn.Module, *rest: Any) -> float:
    """A whole turn, from a started optimizer to an idle device."""
    objective = objective.to(memory_format=torch.channels_last).train()
    recipe, world = rest[1], rest[3]
    optimizer = adamw(objective, recipe.lr, recipe.weight_decay, recipe.betas, recipe.eps)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        turn(objective, optimizer, Path(folder), *rest)
        if world.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def _bare(
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    folder: Path,
    batch: dict[str, Tensor],
    recipe: Clip,
    steps: int,
    world: World,
) -> None:
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.precision)
    scaler = torch.amp.GradScaler(world.device.type, enabled=recipe.precision == "fp16")
    for _ in range(steps):
        with torch.autocast(world.device.type, dtype, enabled=dtype is not None):
            loss = objective(batch)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(objective.parameters(), recipe.grad_clip or float("inf"))
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)


def _train(
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    folder: Path,
    batch: dict[str, Tensor],
    recipe: Clip,
    steps: int,
    world: World,
) -> None:
    pace = Schedule(steps, recipe.batch, recipe.lr, 0, recipe.grad_clip, recipe.precision)
    habits = LoopOptions(tensorboard=True)
    train(
        objective,
        optimizer,
        InMemory(batch),
        pace,
        habits,
        RunDir(folder),
        None,
        world,
        StopSignal(),
    )


def _arch(name: str) -> Arch:
    path = Path(name)
    if path.suffix != ".json":
        return name
    return Architecture(name=path.stem, **json.loads(path.read_text()))


def _batch(recipe: Clip, size: int, device: torch.device) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (recipe.batch, 3, size, size)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    tokens = encoders.tokenizer(recipe.arch)(["a photo"] * recipe.batch)
    return {"images": images.to(device), "tokens": tokens.to(device)}


if __name__ == "__main__":
    main()
