"""Single steps of small models on noise, on this process or as one of several ranks."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from hpc_xfer.compute.distributed.global_batchnorm import synchronize
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.images import color_jitter
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.patch_dropout import drop_patches
from hpc_xfer.compute.pretraining.objectives import make_objective
from hpc_xfer.compute.shards.sample_order import share
from hpc_xfer.compute.training.optimizer import adamw
from hpc_xfer.compute.training.step import Schedule, Stepper
from hpc_xfer.config.recipes import Architecture, Trained
from tests import tiny

BATCH = 16
CLASSES = 16
VIT = Architecture(  # no batch norm
    embed_dim=16,
    vision_cfg={"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    text_cfg=tiny.ARCH.text_cfg,
)
Found = dict[str, Any]  # loss, gradients, buffers


def recipe(method: str, **changes: Any) -> Trained:
    made = tiny.pretraining(method, **{"batch": BATCH, **changes}).recipe
    assert isinstance(made, Trained)
    return made


def global_batch(recipe: Trained) -> dict[str, Tensor]:
    """Sixteen samples of noise, as the data sets would give them."""
    generator = torch.Generator().manual_seed(1)
    views = (2,) if recipe.views == 2 else ()
    shape = (BATCH, *views, 3, 32, 32)
    batch = {"images": torch.randint(256, shape, generator=generator, dtype=torch.uint8)}
    if recipe.uses_text:
        batch["tokens"] = torch.randint(1, 49408, (BATCH, 8), generator=generator)
    if recipe.color_jitter is not None:
        rows = torch.tensor([1.2, 0.9, 1.1, 0.05, 0, 0.2]).expand(BATCH, 2, color_jitter.WIDTH)
        batch["color"] = rows * torch.rand(rows.shape, generator=generator)
    if recipe.learns_labels:
        batch["labels"] = torch.randint(CLASSES, (BATCH,), generator=generator)
    return batch


def part(recipe: Trained, world: World) -> dict[str, Tensor]:
    """This rank's samples of the global batch."""
    mine = share(BATCH, world.rank, world.size, recipe.accumulate or 1)
    return {name: value[mine] for name, value in global_batch(recipe).items()}


def objective(recipe: Trained, world: World | None = None) -> nn.Module:
    towers = encoders.build(recipe.arch, recipe.seed, with_text=recipe.uses_text)
    if recipe.patch_dropout is not None:
        drop_patches(towers.visual, recipe.patch_dropout)
    made = make_objective(recipe, towers, CLASSES, world or World())
    stir(made)
    return made


def stir(module: nn.Module) -> None:
    """Move the weights away from the start, and replace ReLUs by GELUs.

    At the start the last norm of each block is zero and hides what is before. Where rounding turns
    one ReLU off, gradients of sixteen samples change by up to a percent, on any number of ranks.
    """
    generator = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.1 * noise if parameter.ndim < 2 else 0
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.GELU())


def stepper(
    recipe: Trained,
    world: World | None = None,
    dtype: torch.dtype = torch.float32,
    made: nn.Module | None = None,
    **how: bool,
) -> Stepper:
    """Make a stepper as `train` does; `made` replaces the objective of the recipe."""
    torch.set_num_threads(1)  # in this process as in the others
    world = world or World()
    module = synchronize(objective(recipe, world) if made is None else made, world)
    module = module.to(world.device).to(memory_format=torch.channels_last).to(dtype)
    pace = Schedule(
        steps=100,
        batch=recipe.batch,
        lr=recipe.lr,
        warmup_steps=0,
        grad_clip=recipe.grad_clip,
        precision=recipe.precision,
        accumulate=recipe.accumulate or 1,
    )
    return Stepper(module, adamw(module, 1e-3, 0.1, (0.9, 0.98), 1e-8), pace, world, **how)


def gradients(stepper: Stepper) -> dict[str, Tensor]:
    """Return the gradient of every trained parameter, on the CPU."""
    named = {n: p for n, p in stepper.objective.named_parameters() if p.requires_grad}
    found = {name: p.grad.cpu() for name, p in named.items() if p.grad is not None}
    assert found.keys() == named.keys()
    return found


def buffers(stepper: Stepper) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in stepper.objective.named_buffers()}


def apart(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Relative distance of all tensors, as one long vector."""
    assert one.keys() == two.keys()
    pairs = [(one[name].double(), two[name].double()) for name in one]
    distance = sum(float((a - b).square().sum()) for a, b in pairs)
    return math.sqrt(distance / sum(float(a.square().sum()) for a, _ in pairs))


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


class Normed(nn.Module):
    """Under autocast the layer writes fp16, which ends at 65,504."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return (self.norm(self.layer(batch["x"])).float() - 1).square().mean()
