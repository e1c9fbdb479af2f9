"""How many operations a sample costs, and how many a card could do: model FLOP utilisation.

Chowdhery et al. 2022 (PaLM), appendix B: what the model needs, forward and backward; activations
that are computed again do not count.
"""

import re

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hpc_xfer.compute.models.encoders import Towers, context_length
from hpc_xfer.config.recipes import Trained

# A backward pass has two products for each of the forward pass: gradients of inputs and of weights.
_PASSES = 3

# Peaks in TFLOP/s from the makers' data sheets: of tensor cores in bf16 or fp16 (dense), then in
# fp32, which has none. The first name whose words are in the card's counts.
_PEAKS: tuple[tuple[str, float, float], ...] = (
    ("B200", 2250, 75),
    ("GH200", 989, 67),
    ("H200", 989, 67),
    ("H100 PCIe", 756, 51),
    ("H100 NVL", 835, 60),
    ("H100", 989, 67),
    ("A100", 312, 19.5),
    ("L40S", 362, 91.6),
    ("L40", 181, 90.5),
    ("A40", 149.7, 37.4),
    ("A30", 165, 10.3),
    ("A10G", 70, 31.5),
    ("A10", 125, 31.2),
    ("L4", 121, 30.3),
    ("V100", 125, 15.7),
    ("T4", 65, 8.1),
)


def per_sample(recipe: Trained, towers: Towers) -> float:
    """FLOPs (a multiplication and an addition are two) of the towers for one training sample."""
    size = towers.image_size
    forward = recipe.views * _forward(towers.visual, torch.zeros(1, 3, size, size))
    if recipe.uses_text and towers.text is not None:
        tokens = torch.zeros(1, context_length(recipe.arch), dtype=torch.long)
        forward += _forward(towers.text, tokens)
    return float(_PASSES * forward)


def peak(card: str, precision: str) -> float | None:
    """FLOP/s of a GPU by its name; None where it is not known, or is a part of a card (MIG)."""
    if re.search(r"\bMIG\b", card):
        return None
    for name, half, single in _PEAKS:
        if re.search(rf"\b{name}\b", card):
            return 1e12 * (single if precision == "fp32" else half)
    return None


def _forward(tower: nn.Module, sample: Tensor) -> int:
    """Counted on one, with gradients: without them torch fuses what the counter cannot see."""
    training = tower.training
    tower.eval()  # running statistics stay as they are
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        tower(sample)
    tower.train(training)
    return int(counter.get_total_flops())
