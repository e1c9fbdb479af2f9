"""A locked tower: open_clip's numbers, no gradient, no state, no change."""

import copy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.loss import ClipLoss
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.models import encoders, flops
from hpc_xfer.compute.models.encoders import seeded
from hpc_xfer.compute.pretraining.objectives import ImageTextObjective
from hpc_xfer.compute.training.step import Stepper
from hpc_xfer.config.recipes import Arch
from tests import steps, tiny
from tests.compiler import compiler_warnings, needs_compiler
from tests.tiny import on

RESNET = "torchvision/resnet18"
LOCKS = ("image", "text")


def stepper(lock: str, arch: Arch = tiny.ARCH, world: World | None = None, **how: Any) -> Stepper:
    """A stepper in double precision."""
    settings = {key: how.pop(key) for key in ("accumulate", "method") if key in how}
    method = settings.pop("method", "clip")
    recipe = steps.recipe(method, arch=arch, lock=lock, init="weights", **settings)
    return steps.stepper(recipe, world, torch.float64, made=steps.objective(recipe, world), **how)


def batch(arch: Arch = tiny.ARCH) -> dict[str, Tensor]:
    made = steps.global_batch(steps.recipe("clip"))
    short = encoders.context_length(arch) - made["tokens"].shape[1]
    return {**made, "tokens": F.pad(made["tokens"], (0, short))}


def theirs(objective: ImageTextObjective, lock: str) -> nn.Module:
    """An open_clip model with the same weights and the same tower locked, as it trains."""
    config = tiny.ARCH.model_dump()
    made = open_clip.CustomTextCLIP(
        embed_dim=config["embed_dim"], vision_cfg=config["vision_cfg"], text_cfg=config["text_cfg"]
    )
    made.visual, made.text = copy.deepcopy(objective.visual), copy.deepcopy(objective.text)
    made.double().requires_grad_(True)
    if lock == "image":
        made.lock_image_tower(unlocked_groups=0, freeze_bn_stats=True)
    else:
        made.lock_text_tower(unlocked_layers=0)
    return made.train()


@pytest.mark.parametrize("lock", LOCKS)
def test_loss_and_gradients_are_those_of_open_clip(lock: str) -> None:
    a = stepper(lock)
    objective = a.objective
    assert isinstance(objective, ImageTextObjective)
    model: Any = theirs(objective, lock)
    data = batch()
    loss = a.backward(data, 0)
    images = objective.normalize(data["images"]).double()
    scale = objective.logit_scale.detach().exp().requires_grad_()
    found = ClipLoss()(
        model.encode_image(images, normalize=True),
        model.encode_text(data["tokens"], normalize=True),
        scale,
    )
    found.backward()
    assert float(loss) == pytest.approx(float(found.detach()), rel=1e-6)
    trained = {f"{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    own = {n: g for n, g in steps.gradients(a).items() if n != "logit_scale"}
    assert own.keys() == trained.keys() and own
    assert all(name.startswith("text." if lock == "image" else "visual.") for name in own)
    assert steps.apart(own, trained) < 1e-5


@pytest.mark.parametrize("lock", LOCKS)
def test_steps_change_nothing_in_a_locked_tower_and_keep_no_state_of_it(lock: str) -> None:
    a = stepper(lock)
    objective: Any = a.objective
    locked, other = objective.visual, objective.text
    if lock == "text":
        locked, other = other, locked
    before = copy.deepcopy([locked.state_dict(), other.state_dict()])
    for number in range(2):
        a.step(batch(), number)
    assert objective.training and other.training
    assert not any(module.training for module in locked.modules())
    assert steps.equal(before[0], locked.state_dict())
    assert not steps.equal(before[1], other.state_dict())
    trained = {id(p) for group in a.optimizer.param_groups for p in group["params"]}
    assert not trained & {id(p) for p in locked.parameters()}


@pytest.mark.parametrize(
    ("method", "arch"),
    [("clip", steps.VIT), ("siglip", steps.VIT), ("clip", RESNET)],
    ids=["clip-vit", "siglip-vit", "clip-torchvision"],
)
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(method: str, arch: Arch) -> None:
    """Batch norms are locked too, so nothing depends on the parts; the projection is trained."""
    whole, cut = (stepper("image", arch, method=method, accumulate=n) for n in (None, 2))
    losses = [float(each.backward(batch(arch), 0)) for each in (whole, cut)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)
    assert steps.apart(steps.gradients(whole), steps.gradients(cut)) < 1e-12
    assert ("projection.weight" in steps.gradients(whole)) == (arch == RESNET)


def test_a_locked_tower_is_computed_once_for_a_batch_in_parts() -> None:
    calls = []
    a = stepper("image", accumulate=2)
    objective: Any = a.objective
    objective.visual.register_forward_hook(lambda *_: calls.append(1))
    a.backward(batch(), 0)
    assert len(calls) == 2  # parts


@pytest.mark.parametrize("lock", LOCKS)
def test_recomputed_activations_change_no_bit(lock: str) -> None:
    plain, recomputed = stepper(lock), stepper(lock, recomputed=True)
    assert plain.backward(batch(), 0) == recomputed.backward(batch(), 0)
    assert steps.equal(steps.gradients(plain), steps.gradients(recomputed))


@needs_compiler
@compiler_warnings
@pytest.mark.slow
@pytest.mark.parametrize("lock", LOCKS)
def test_compiled_steps_agree(lock: str) -> None:
    plain, compiled = stepper(lock), stepper(lock, compiled=True)
    assert float(plain.backward(batch(), 0)) == pytest.approx(float(compiled.backward(batch(), 0)))
    assert steps.apart(steps.gradients(plain), steps.gradients(compiled)) < 1e-6


CASES = [(lock, parts) for lock in LOCKS for parts in (None, 2)]


def rank(number: int, size: int, folder: Path) -> None:
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        torch.save([found(*case, world) for case in CASES], folder / f"{number}.pt")


def found(lock: str, parts: int | None, world: World) -> dict[str, Any]:
    """Loss and weights after two steps: the graph is static from the second on."""
    a = stepper(lock, world=world, accumulate=parts)
    recipe = steps.recipe("clip", accumulate=parts)
    for number in range(2):
        loss = world.mean(a.step(steps.part(recipe, world), number).loss)
    weights = {n: v.cpu() for n, v in a.objective.state_dict().items() if "num_batches" not in n}
    return {"loss": loss, "weights": weights}


def test_two_ranks_give_what_one_gives(tmp_path: Path) -> None:
    alone = [found(*case, World()) for case in CASES]
    for one, *more in zip(alone, *on(2, rank, folder=tmp_path / "2"), strict=True):
        for each in more:
            assert float(each["loss"]) == pytest.approx(float(one["loss"]), rel=1e-12)
            assert steps.apart(one["weights"], each["weights"]) < 1e-9


def test_a_locked_tower_costs_one_pass_of_three() -> None:
    towers = encoders.build("ViT-B-32", 0, with_text=True)
    costs = {
        lock: flops.per_sample(
            steps.recipe("clip", arch="ViT-B-32", init="weights", lock=lock), towers
        )
        for lock in (None, *LOCKS)
    }
    image = (costs[None] - costs["image"]) / 2
    text = (costs[None] - costs["text"]) / 2
    assert costs[None] == pytest.approx(3 * (image + text))
    assert image > text > 0


def test_a_locked_tower_draws_nothing() -> None:
    """It is in evaluation mode, so dropout is off."""
    recipe = steps.recipe("clip", arch=steps.VIT, lock="image", init="weights")
    made: Any = steps.objective(recipe)
    made.visual.ln_post = nn.Sequential(made.visual.ln_post, nn.Dropout(0.5))
    made.train()
    images = made.normalize(batch()["images"])
    with torch.no_grad(), seeded(0):
        assert torch.equal(*(F.normalize(made.visual(images)) for _ in range(2)))
