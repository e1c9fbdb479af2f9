"""Single steps on a GPU; numbers are compared with those of the CPU."""

import pytest
import torch

from hpc_xfer.compute.images import color_jitter
from tests import steps
from tests.compiler import compiler_warnings, needs_compiler
from tests.compute.gpu.devices import METHODS, PRECISIONS, on_gpu, tolerances
from tests.gpu_waits import no_wait

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_a_step_equals_that_of_the_cpu(method: str, parts: int) -> None:
    recipe = steps.recipe(method, accumulate=parts)
    batch = steps.global_batch(recipe)
    here = steps.stepper(recipe, dtype=torch.float64)
    there = steps.stepper(recipe, on_gpu(), torch.float64)
    losses = [float(each.backward(batch, 0)) for each in (here, there)]
    of_loss, of_gradients = tolerances(method)
    assert losses[1] == pytest.approx(losses[0], rel=of_loss)
    assert steps.apart(steps.gradients(here), steps.gradients(there)) < of_gradients


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_close_to_single_precision(method: str, precision: str) -> None:
    """On the CPU, whose half precision is that of the format too, losses are 0.4% apart at most."""
    recipe = steps.recipe(method)
    batch = steps.global_batch(recipe)
    expected = float(steps.stepper(recipe).backward(batch, 0))
    stepper = steps.stepper(steps.recipe(method, precision=precision), on_gpu())
    assert float(stepper.backward(batch, 0)) == pytest.approx(expected, rel=1e-2)
    stepper.optimizer.zero_grad()
    for number in range(5):
        assert stepper.step(batch, number).loss.isfinite()
    stepper.check()


@needs_compiler
@compiler_warnings
@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_compiled_modules_keep_names_and_numbers(method: str, recomputed: bool) -> None:
    recipe = steps.recipe(method)
    batch = steps.global_batch(recipe)
    plain = steps.stepper(recipe, on_gpu(), torch.float64)
    compiled = steps.stepper(recipe, on_gpu(), torch.float64, compiled=True, recomputed=recomputed)
    losses = [float(each.backward(batch, 0)) for each in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-7)
    assert steps.apart(steps.gradients(plain), steps.gradients(compiled)) < 1e-5
    plain.load_state_dict(compiled.state_dict())


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("method", METHODS)
def test_a_step_does_not_wait_for_the_device(method: str, precision: str, parts: int) -> None:
    """In fp16 too: the fused AdamW takes the scaler's verdict on the device."""
    recipe = steps.recipe(method, precision=precision, accumulate=parts)
    stepper = steps.stepper(recipe, on_gpu())
    batch = {name: value.pin_memory() for name, value in steps.global_batch(recipe).items()}
    for number in range(2):  # constants are made once
        stepper.step(batch, number)
    with no_wait():
        stepper.step(batch, 2)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("lock", ["image", "text"])
def test_a_step_with_a_locked_tower_equals_that_of_the_cpu(lock: str, parts: int) -> None:
    recipe = steps.recipe("clip", init="weights", lock=lock, accumulate=parts)
    batch = steps.global_batch(recipe)
    here = steps.stepper(recipe, dtype=torch.float64)
    there = steps.stepper(recipe, on_gpu(), torch.float64)
    losses = [float(each.backward(batch, 0)) for each in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-10)
    assert steps.apart(steps.gradients(here), steps.gradients(there)) < 1e-10


@pytest.mark.parametrize("parts", [1, 2])
def test_dropping_patches_does_not_wait_for_the_device(parts: int) -> None:
    """open_clip's own module draws on the CPU."""
    recipe = steps.recipe("clip", arch=steps.VIT, patch_dropout=0.5, accumulate=parts)
    stepper = steps.stepper(recipe, on_gpu())
    batch = {name: value.pin_memory() for name, value in steps.global_batch(recipe).items()}
    for number in range(2):
        stepper.step(batch, number)
    with no_wait():
        result = stepper.step(batch, 2)
    assert result.loss.isfinite()


def test_changing_colors_does_not_wait_for_the_device() -> None:
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8, device="cuda")
    rows = torch.tensor([[1.1, 0.9, 1.2, 0.1, 1.0, 1.0]] * 2).cuda()
    color_jitter.apply(images, rows)
    with no_wait():
        color_jitter.apply(images, rows)


def test_a_loss_that_is_not_a_number_is_seen_on_the_device() -> None:
    recipe = steps.recipe("supervised")
    stepper = steps.stepper(recipe, on_gpu())
    with torch.no_grad():
        next(stepper.objective.parameters()).fill_(float("nan"))
    result = stepper.step(steps.global_batch(recipe), 0)
    assert not result.loss.isfinite() and not result.gradient_norm.isfinite()
