"""Our training step on one batch in memory, as `train` makes it."""

import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.setting import Setting
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.images import color_jitter
from hpc_xfer.compute.models import encoders, flops
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.compute.pretraining.objectives import make_objective
from hpc_xfer.compute.training.optimizer import adamw
from hpc_xfer.compute.training.step import Schedule, Stepper
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import METHODS, Arch, Architecture, Trained

CLASSES = 1000
_COLOR = (1.2, 0.9, 1.1, 0.05, 0.0, 1.0)  # every change of SimCLR, its blur too


def recipe(
    setting: Setting, method: str, arch: str, batch: int, precision: str, accumulate: int = 1
) -> Trained:
    """The recipe of a long run.

    Raises:
        ValueError: it is none, for example of an unknown precision.
    """
    values: dict[str, Any] = {
        "method": method, "arch": _arch(setting, arch), "source": "memory", "samples": 10**6,
        "samples_seen": 10**6, "batch": batch, "precision": precision,
    }  # fmt: skip
    if accumulate > 1:
        values["accumulate"] = accumulate
    made = METHODS[method](**values)
    assert isinstance(made, Trained)
    return made


def _arch(setting: Setting, name: str) -> Arch:
    file = setting.arch_file(name)
    return name if file is None else Architecture(**json.loads(Path(file).read_text()))


@lru_cache(maxsize=4)
def _towers(setting: Setting, name: str, with_text: bool) -> Towers:
    return encoders.build(_arch(setting, name), 0, with_text=with_text)


def towers(setting: Setting, name: str, with_text: bool) -> Towers:
    """A copy of an untrained encoder, whose weights are drawn once."""
    return copy.deepcopy(_towers(setting, name, with_text))


@lru_cache(maxsize=32)
def flops_per_image(setting: Setting, method: str, arch: str) -> float:
    """Of forward and backward."""
    made = recipe(setting, method, arch, 8, "fp32")
    return flops.per_sample(made, towers(setting, arch, made.uses_text))


class OurStep:
    """Take steps on one batch."""

    def __init__(self, setting: Setting, made: Trained, arch: str, **how: bool) -> None:
        """
        Args:
            how: `compiled`, `recomputed`.
        """
        self.setting, self.recipe, self.number = setting, made, 0
        world = World(device=setting.device)
        found = towers(setting, arch, made.uses_text)
        objective = make_objective(made, found, CLASSES, world).to(setting.device)
        objective = objective.to(memory_format=torch.channels_last)
        optimizer = adamw(objective, made.lr, made.weight_decay, made.betas, made.eps)
        schedule = Schedule(
            1000, made.batch, made.lr, 0, made.grad_clip, made.precision,
            accumulate=made.accumulate or 1,
        )  # fmt: skip
        self.stepper = Stepper(objective, optimizer, schedule, world, **how)
        self.batch = make_batch(setting, made)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.stepper.step(self.batch, self.number % 1000)
            self.number += 1


def make_batch(setting: Setting, made: Trained) -> dict[str, Tensor]:
    """Noise, as the loader delivers it: on the host, pinned where there is a GPU."""
    generator = torch.Generator().manual_seed(1)
    side, n = architectures.image_size(made.arch), made.batch
    views = (2,) if made.views == 2 else ()
    shape = (n, *views, 3, side, side)
    batch = {"images": torch.randint(256, shape, generator=generator, dtype=torch.uint8)}
    if made.uses_text:
        context = encoders.context_length(made.arch)
        batch["tokens"] = torch.randint(1, 49000, (n, context), generator=generator)
    if made.color_jitter is not None:
        row = torch.tensor(_COLOR)
        batch["color"] = row.expand(n, 2, color_jitter.WIDTH).clone()
    if made.learns_labels:
        batch["labels"] = torch.randint(CLASSES, (n,), generator=generator)
    return {k: v.pin_memory() if setting.on_gpu else v for k, v in batch.items()}
