"""FLOPs per sample, and peak FLOP/s of a card, for model FLOP utilization (MFU).

As Chowdhery et al. 2022 (PaLM), appendix B: what the model needs, forward and backward; recomputed
activations do not count.
"""

import re

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hpc_xfer.compute.models.encoders import Towers, context_length, seeded
from hpc_xfer.compute.models.patch_dropout import PatchDropout
from hpc_xfer.config.recipes import ImageText, Trained

# The backward pass has two products per product of the forward pass: for inputs and for weights.
# A locked tower has no backward pass.
_PASSES = 3

# Peak TFLOP/s from the data sheets: tensor cores in bf16 or fp16 (dense), then fp32 without tensor
# cores. The first name that is in the card's name counts. TF32 is half of bf16 on all that have it.
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
_WITHOUT_TF32 = ("V100", "T4")  # it came with Ampere


def per_sample(recipe: Trained, towers: Towers) -> float:
    """Count FLOPs of the towers per training sample; a multiplication and an addition are two."""
    locked = recipe.lock if isinstance(recipe, ImageText) else None
    size = towers.image_size
    images = recipe.views * _forward(towers.visual, torch.zeros(1, 3, size, size))
    total = images * (1 if locked == "image" else _PASSES)
    if recipe.uses_text and towers.text is not None:
        tokens = torch.zeros(1, context_length(recipe.arch), dtype=torch.long)
        total += _forward(towers.text, tokens) * (1 if locked == "text" else _PASSES)
    return float(total)


def peak(card: str, precision: str) -> float | None:
    """Look up the FLOP/s of a GPU by name; None if unknown, or a part of a card (MIG)."""
    if re.search(r"\bMIG\b", card):
        return None
    for name, half, single in _PEAKS:
        if re.search(rf"\b{name}\b", card):
            tf32 = single if name in _WITHOUT_TF32 else half / 2
            return 1e12 * {"fp32": single, "tf32": tf32}.get(precision, half)
    return None


def _forward(tower: nn.Module, sample: Tensor) -> int:
    """Count one forward pass, with gradients: without, torch fuses operations out of sight."""
    training = tower.training
    tower.eval()  # keeps running statistics
    for module in tower.modules():
        if isinstance(module, PatchDropout):
            module.train()  # count what it leaves
    with seeded(0), torch.enable_grad(), FlopCounterMode(display=False) as counter:
        tower(sample)
    tower.train(training)
    return int(counter.get_total_flops())
