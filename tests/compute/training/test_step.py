"""One step: accumulation, recomputed activations, half precision, compilation."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.config
from torch import Tensor, nn
from torch.fx import GraphModule
from torchvision.models.resnet import BasicBlock

from hpc_xfer.compute.models.encoders import seeded
from hpc_xfer.compute.pretraining.objectives import SimCLRObjective
from hpc_xfer.compute.training.compile import compile_in_place
from hpc_xfer.compute.training.objective import Contrastive
from hpc_xfer.compute.training.step import Stepper
from hpc_xfer.errors import DataError, Diverged
from hpc_xfer.store.store import Store
from tests import steps, tiny
from tests.compiler import compiler_warnings, needs_compiler

METHODS = ("clip", "siglip", "simclr", "supervised")
CPU = torch.device("cpu")


def without_batch_norm(method: str, **changes: Any) -> Stepper:
    """A stepper in double precision."""
    recipe = steps.recipe(method, arch=steps.VIT, **changes)
    made = steps.objective(recipe)
    if isinstance(made, SimCLRObjective):
        with seeded(0):
            made.head = nn.Sequential(nn.Linear(16, 8))
    return steps.stepper(recipe, dtype=torch.float64, made=made)


# A batch in parts.


@pytest.mark.parametrize("parts", [2, 8])
@pytest.mark.parametrize("method", METHODS)
def test_accumulation_compares_each_sample_with_the_whole_batch(method: str, parts: int) -> None:
    """So without batch norm, the step equals that of the whole batch."""
    batch = steps.global_batch(steps.recipe(method))
    whole, cut = without_batch_norm(method), without_batch_norm(method, accumulate=parts)
    losses = [float(each.backward(batch, 0)) for each in (whole, cut)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)
    assert steps.apart(steps.gradients(whole), steps.gradients(cut)) < 1e-12


def test_accumulation_in_half_precision_equals_the_whole_batch_in_half_precision() -> None:
    """Weights cast in the forward without a graph must not be used in the other forward."""
    batch = steps.global_batch(steps.recipe("clip"))
    recipes = [steps.recipe("clip", arch=steps.VIT, precision="bf16", accumulate=n) for n in (1, 2)]
    whole, cut = (steps.stepper(recipe) for recipe in recipes)
    losses = [float(each.backward(batch, 0)) for each in (whole, cut)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert steps.apart(steps.gradients(whole), steps.gradients(cut)) < 0.02


class Noisy(Contrastive):
    """Keeps its outputs, which show the random numbers it used."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.seen: list[Tensor] = []

    def features(self, batch: dict[str, Any]) -> tuple[Tensor, ...]:
        out = self.layer(batch["x"])
        self.seen.append(out.detach())
        return (out,)

    def loss(self, *features: Tensor) -> Tensor:
        return (features[0] @ features[0].T).logsumexp(dim=1).mean()


def test_both_forwards_of_a_part_draw_the_same_and_update_statistics_once() -> None:
    noisy = Noisy()
    noisy_step = steps.stepper(steps.recipe("clip", accumulate=2), made=noisy)
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    noisy_step.backward({"x": x}, 0)
    first, second, first_again, second_again = noisy.seen
    assert torch.equal(first, first_again) and torch.equal(second, second_again)
    assert not torch.equal(first == 0, second == 0)

    twin = nn.BatchNorm1d(4)
    for half in x.chunk(2):
        twin(noisy.layer[0](half))
    for name, value in noisy.layer[1].named_buffers():
        assert torch.equal(value, dict(twin.named_buffers())[name])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"accumulate": 3}, "batch 16 cannot be split into 3 equal parts; change accumulate"),
        ({"accumulate": 0}, "greater than 0"),
    ],
)
def test_a_batch_must_split_into_equal_parts(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        steps.recipe("clip", **changes)


def test_accumulate_1_does_not_change_the_id_of_a_run() -> None:
    run = tiny.pretraining("clip")
    assert tiny.pretraining("clip", accumulate=1).id == run.id
    assert tiny.pretraining("clip", accumulate=2).id != run.id


# Recomputed activations.


def kept(stepper: Stepper, batch: dict[str, Tensor]) -> int:
    """Bytes that a forward keeps for the backward."""
    found: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        found[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        stepper.model(batch)
    weights = sum(p.untyped_storage().nbytes() for p in stepper.objective.parameters())
    return sum(found.values()) - weights


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(
    ("method", "arch"),
    [
        ("clip", tiny.ARCH),
        ("simclr", tiny.ARCH),
        ("clip", steps.VIT),
        ("supervised", "torchvision/resnet18"),
    ],
)
def test_recomputed_activations_change_no_bit(method: str, arch: Any, parts: int) -> None:
    recipe = steps.recipe(method, arch=arch, accumulate=parts)
    batch = steps.global_batch(recipe)
    plain, again = steps.stepper(recipe), steps.stepper(recipe, recomputed=True)
    for number in range(2):
        assert torch.equal(plain.step(batch, number).loss, again.step(batch, number).loss)
    assert torch.equal(plain.backward(batch, 2), again.backward(batch, 2))
    assert steps.equal(steps.gradients(plain), steps.gradients(again))
    assert steps.equal(plain.objective.state_dict(), again.objective.state_dict())
    assert kept(again, batch) < 0.7 * kept(plain, batch)


def test_an_encoder_without_known_blocks_is_refused() -> None:
    with pytest.raises(DataError, match=r"activation_checkpointing to false$"):
        steps.stepper(steps.recipe("clip"), made=nn.Linear(2, 2), recomputed=True)


# Half precision.


class Product(nn.Module):
    """A model whose loss and gradient are as large as its input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return (self.weight * batch["x"]).sum()


def fp16() -> Stepper:
    return steps.stepper(steps.recipe("clip", precision="fp16"), made=Product())


def x(value: float) -> dict[str, Tensor]:
    return {"x": torch.tensor([value])}


def test_a_step_whose_gradients_overflow_is_skipped() -> None:
    stepper = fp16()
    found = stepper.step(x(1e35), 0)
    assert float(found.loss) == pytest.approx(1e35) and not found.gradient_norm.isfinite()
    assert float(stepper.objective.get_parameter("weight").detach()) == 1
    assert stepper.scaler.get_scale() == 2.0**15
    assert float(stepper.step(x(3.0), 1).gradient_norm) == pytest.approx(3)
    assert float(stepper.objective.get_parameter("weight").detach()) < 1


@pytest.mark.parametrize("parts", [1, 2])
def test_batch_norm_statistics_are_restored_after_a_step_that_overflowed(parts: int) -> None:
    """With two parts, the first overflows and the second is a normal one."""
    with seeded(0):
        made, good = steps.Normed(), torch.randn(8, 4)
    stepper = steps.stepper(steps.recipe("clip", precision="fp16", accumulate=parts), made=made)
    bad = torch.cat([1e6 * good[:1], good[1:]])
    stepper.step({"x": good}, 0)
    before = {name: value.clone() for name, value in made.norm.state_dict().items()}
    assert not stepper.step({"x": bad}, 1).gradient_norm.isfinite()
    assert steps.equal(made.norm.state_dict(), before)
    assert stepper.step({"x": good}, 2).gradient_norm.isfinite()
    assert int(made.norm.state_dict()["num_batches_tracked"]) == 2 * parts
    assert not torch.equal(made.norm.state_dict()["running_var"], before["running_var"])


def test_gradients_that_overflow_at_any_scale_are_a_divergence() -> None:
    stepper = fp16()
    for number in range(30):
        stepper.step(x(torch.inf), number)
    stepper.check()
    stepper.step(x(torch.inf), 30)
    with pytest.raises(Diverged, match=r"gradients overflow fp16 .*; set precision to bf16$"):
        stepper.check()


def test_a_resumed_run_keeps_the_fp16_scale() -> None:
    one, two = fp16(), fp16()
    one.step(x(1e35), 0)
    two.load_state_dict(one.state_dict())
    assert two.scaler.state_dict() == one.scaler.state_dict()


@pytest.mark.parametrize("method", ["clip", "simclr"])
def test_half_precision_is_close_to_single_precision(method: str) -> None:
    """Losses are about 2.8; weights are rounded to 8 bits (bf16) or 11 bits (fp16)."""
    losses = {}
    for precision in ("fp32", "bf16", "fp16"):
        recipe = steps.recipe(method, precision=precision)
        losses[precision] = float(steps.stepper(recipe).backward(steps.global_batch(recipe), 0))
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=1e-2)
    assert losses["fp16"] == pytest.approx(losses["fp32"], rel=2e-3)


def test_losses_are_computed_in_single_precision() -> None:
    """In bf16, logits near 100 would be multiples of 0.5."""
    for method in ("clip", "simclr"):
        made = steps.objective(steps.recipe(method))
        assert isinstance(made, Contrastive)
        features = made.features(steps.global_batch(steps.recipe(method)))
        with torch.autocast("cpu", torch.bfloat16):
            loss = made.loss(*features)
        assert torch.equal(loss, made.loss(*features))


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "fp16", "accumulate": 2},
        {"precision": "bf16", "accumulate": 4, "grad_clip": None},
    ],
)
def test_runs_in_half_precision_resume_bit_for_bit(
    changes: dict[str, Any], tmp_path: Path, shards: Path
) -> None:
    run = tiny.pretraining("clip", **changes)
    how: dict[str, Any] = {"activation_checkpointing": True}
    one = tiny.finished(Store(tmp_path / "one"), run, shards, **how)
    for stop in (tiny.StopAfter(3), tiny.StopAfter(2), None):
        events = tiny.execute(Store(tmp_path / "two"), run, shards, stop=stop, **how)
        assert events[-1]["event"] == ("done" if stop is None else "interrupted")
    two = Store(tmp_path / "two").run(run.id)
    assert tiny.same_weights(one, two)
    assert tiny.losses(one) == tiny.losses(two)


# Norms.


@pytest.mark.parametrize("limit", [None, 1e-3])
def test_the_gradient_norm_is_measured_before_clipping(limit: float | None) -> None:
    recipe = steps.recipe("supervised", grad_clip=limit)
    batch, one, two = steps.global_batch(recipe), steps.stepper(recipe), steps.stepper(recipe)
    one.backward(batch, 0)
    expected = torch.stack([g.square().sum() for g in steps.gradients(one).values()]).sum().sqrt()
    found = two.step(batch, 0).gradient_norm
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert not found.requires_grad


# Compilation.


@needs_compiler
@compiler_warnings
@pytest.mark.slow
@pytest.mark.gpu  # on two cores compiling takes minutes
@pytest.mark.parametrize("how", [{}, {"recomputed": True}])
def test_compiled_modules_keep_names_and_numbers(how: dict[str, Any]) -> None:
    recipe = steps.recipe("supervised", accumulate=2)
    batch = steps.global_batch(recipe)
    plain, compiled = steps.stepper(recipe), steps.stepper(recipe, compiled=True, **how)
    losses = [float(each.backward(batch, 0)) for each in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert steps.apart(steps.gradients(plain), steps.gradients(compiled)) < 1e-4
    assert steps.apart(steps.buffers(plain), steps.buffers(compiled)) < 1e-5
    plain.load_state_dict(compiled.state_dict())


def test_every_block_of_a_large_encoder_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks share the code of one forward, of which torch by default compiles 8 versions."""
    graphs = []

    def backend(graph: GraphModule, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    blocks = nn.ModuleList(BasicBlock(width, width) for width in range(1, 13))
    compile_in_place(blocks, CPU, blocks_only=True)
    graphs.clear()
    for width, block in enumerate(blocks, start=1):
        block(torch.zeros(1, width, 4, 4))
    assert len(graphs) == 12


def without_compiler(folder: Path) -> None:
    os.environ |= {"PATH": str(folder), "CXX": "", "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache")}
    with pytest.raises(DataError) as told:
        compile_in_place(nn.Sequential(nn.Linear(2, 2)), CPU, blocks_only=False)
    assert str(told.value).startswith("torch.compile does not work here (")
    assert str(told.value).endswith("or set resources.pretrain.compile to false")


def test_a_missing_compiler_is_reported_before_training(tmp_path: Path) -> None:
    assert tiny.join([tiny.child(without_compiler, tmp_path)]) == [0]
