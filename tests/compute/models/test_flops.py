"""How many operations a sample costs, against what the makers of the models publish."""

from typing import Any

import pytest

from hpc_xfer.compute.models import encoders, flops
from hpc_xfer.compute.models.flops import peak
from hpc_xfer.config.recipes import Clip, SimCLR, Supervised
from hpc_xfer.study.architecture_costs import tower_costs

COMMON: dict[str, Any] = {"source": "laion", "samples": 10_000, "samples_seen": 10_000}


@pytest.mark.parametrize(
    ("arch", "visual", "text"),
    [
        # GFLOPs of a forward pass in open_clip's docs/model_profile.csv.
        ("RN50", 12.22, 5.96),
        ("ViT-B-32", 8.82, 5.96),
        # 4.09 G multiplications and additions in torchvision's table of weights.
        ("torchvision/resnet50", 2 * 4.09, 5.96),
    ],
)
def test_the_count_is_the_published_one(arch: str, visual: float, text: float) -> None:
    """Three passes: forward, and two for the backward. Theirs count norms and biases too: 3%."""
    towers = encoders.build(arch, 0, with_text=True)
    both = flops.per_sample(Clip(arch=arch, **COMMON), towers)
    assert both == pytest.approx(3e9 * (visual + text), rel=0.03)
    one = flops.per_sample(Supervised(arch=arch, **COMMON), towers)
    assert one == pytest.approx(3e9 * visual, rel=0.03)
    assert flops.per_sample(SimCLR(arch=arch, **COMMON), towers) == 2 * one
    assert towers.visual.training  # as it was


@pytest.mark.parametrize(
    "arch",
    ["RN50", "RN101", "ViT-B-32", "ViT-S-16", "torchvision/resnet18", "torchvision/resnet50"],
)
def test_the_closed_form_that_plans_use_agrees(arch: str) -> None:
    towers = encoders.build(arch, 0, with_text=True)
    one = flops.per_sample(Supervised(arch=arch, **COMMON), towers) / 3
    both = flops.per_sample(Clip(arch=arch, **COMMON), towers) / 3
    costs = tower_costs(arch)
    assert costs.flops == pytest.approx(one, rel=0.25)
    assert costs.text_flops == pytest.approx(both - one, rel=0.25)
    assert costs.features == towers.dim
    assert costs.is_known


def test_an_architecture_without_a_closed_form_gets_middling_costs() -> None:
    costs = tower_costs("convnext_base")
    assert not costs.is_known
    assert costs.flops > 1e10


@pytest.mark.parametrize(
    ("card", "half", "single"),
    [  # as nvidia-smi and torch name them
        ("NVIDIA B200", 2250, 75),
        ("NVIDIA GH200 480GB", 989, 67),
        ("NVIDIA H200", 989, 67),
        ("NVIDIA H100 80GB HBM3", 989, 67),
        ("NVIDIA H100 PCIe", 756, 51),
        ("NVIDIA H100 NVL", 835, 60),
        ("NVIDIA A100-SXM4-80GB", 312, 19.5),
        ("NVIDIA A100-PCIE-40GB", 312, 19.5),
        ("NVIDIA A100 80GB PCIe", 312, 19.5),
        ("NVIDIA L40S", 362, 91.6),
        ("NVIDIA L40", 181, 90.5),
        ("NVIDIA L4", 121, 30.3),
        ("NVIDIA A40", 149.7, 37.4),
        ("NVIDIA A30", 165, 10.3),
        ("NVIDIA A10", 125, 31.2),
        ("NVIDIA A10G", 70, 31.5),
        ("Tesla V100-SXM2-16GB", 125, 15.7),
        ("Tesla T4", 65, 8.1),
    ],
)
def test_a_card_is_known_by_its_name(card: str, half: float, single: float) -> None:
    assert peak(card, "bf16") == peak(card, "fp16") == 1e12 * half
    assert peak(card, "fp32") == 1e12 * single
    has_tf32 = "V100" not in card and "T4" not in card
    assert peak(card, "tf32") == 1e12 * (half / 2 if has_tf32 else single)


@pytest.mark.parametrize(
    "card",
    [
        "NVIDIA RTX A4000",
        "NVIDIA RTX A1000",
        "NVIDIA RTX A1000 Laptop GPU",
        "NVIDIA RTX A3000 Laptop GPU",
        "NVIDIA T400 4GB",
        "NVIDIA T4G",
        "NVIDIA GB200",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA GeForce GTX 1080",
    ],
)
def test_what_is_not_known_is_not_guessed(card: str) -> None:
    assert peak(card, "bf16") is None and peak(card, "fp32") is None
