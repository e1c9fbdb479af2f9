"""How many operations a sample costs, against what the makers of the models publish."""

import pytest

from hpc_xfer.recipes import Clip, SimCLR, Supervised
from hpc_xfer.training import encoders, flops
from hpc_xfer.training.flops import peak

COMMON = {"source": "laion", "samples": 10_000, "samples_seen": 10_000}


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


def test_a_card_is_known_by_its_name_and_what_is_not_known_is_not_guessed() -> None:
    assert peak("NVIDIA A100-SXM4-80GB", "bf16") == 312e12
    assert peak("NVIDIA A100-SXM4-80GB", "fp32") == 156e12
    assert peak("NVIDIA H100 PCIe", "fp16") == 756e12
    assert peak("NVIDIA H100 80GB HBM3", "fp16") == 989e12
    assert peak("NVIDIA L40S", "bf16") == 362e12
    assert peak("Tesla V100-SXM2-16GB", "fp16") == 125e12
    assert peak("NVIDIA GeForce GTX 1080", "fp16") is None
