"""Precision: which products are rounded, and that nothing of it outlives its block."""

import pytest
import torch
from torch.nn import functional as F

from hpc_xfer.compute.finetuning.classifier import Classifier
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.training.gpu_arithmetic import autocast, measured_algorithms, products
from tests import steps, tiny

CPU = torch.device("cpu")


def flags() -> tuple[bool, bool, bool]:
    dnn = torch.backends.cudnn
    return torch.backends.cuda.matmul.allow_tf32, dnn.allow_tf32, dnn.benchmark


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_the_settings_of_a_run_end_with_it(precision: str) -> None:
    before = flags()
    with products(torch.device("cuda"), precision):
        assert flags()[:2] == ((precision == "tf32"),) * 2
        with measured_algorithms(torch.device("cuda"), fixed_sizes=True):
            assert flags()[2]
    assert flags() == before


def test_a_cpu_keeps_its_arithmetic() -> None:
    before = flags()
    with products(CPU, "tf32"), measured_algorithms(CPU, fixed_sizes=True):
        assert flags() == before


def test_a_step_in_tf32_is_one_in_fp32_where_there_is_no_gpu() -> None:
    losses = []
    for precision in ("fp32", "tf32"):
        recipe = steps.recipe("clip", precision=precision)
        losses.append(steps.stepper(recipe).backward(steps.global_batch(recipe), 0))
    assert torch.equal(*losses)


def test_heads_compute_in_fp32_under_autocast() -> None:
    """In bf16 a logit of 10 would be rounded by up to 0.03."""
    model = Classifier(encoders.build(tiny.ARCH, 0, with_text=False), 5, smoothing=0)
    torch.nn.init.normal_(model.head.weight, std=10)
    features = F.normalize(torch.randn(4, model.head.in_features), dim=-1)
    exact = model.logits(features)
    with autocast(CPU, "bf16"):
        assert torch.equal(model.logits(features), exact)
        assert torch.equal(model.logits(features.bfloat16()), model.logits(features.bfloat16()))


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["clip", "siglip", "simclr", "supervised"])
def test_tf32_is_close_to_fp32_on_a_gpu(method: str) -> None:
    world = steps.World(device=torch.device("cuda"))
    losses = []
    for precision in ("fp32", "tf32"):
        recipe = steps.recipe(method, precision=precision)
        stepper = steps.stepper(recipe, world)
        losses.append(float(stepper.backward(steps.global_batch(recipe), 0)))
    assert losses[1] == pytest.approx(losses[0], rel=3e-3)


@pytest.mark.gpu
def test_only_tf32_rounds_products_on_a_gpu() -> None:
    """TF32 keeps 10 bits of each factor: an error of about 3e-4."""
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("needs a GPU of Ampere or later, which has TF32")
    device = torch.device("cuda")
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(512, 512, generator=generator).to(device) for _ in range(2))
    exact = x.double() @ y.double()
    errors = {}
    for precision in ("fp32", "tf32"):
        with products(device, precision):
            errors[precision] = float((x @ y - exact).norm() / exact.norm())
    assert errors["fp32"] < 1e-6 and 1e-5 < errors["tf32"] < 1e-3
