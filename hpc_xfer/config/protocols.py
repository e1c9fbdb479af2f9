"""Protocols: defaults of fine-tuning settings that a study names with one word.

`standard` is the default. `0.1` is what version 0.1 did: its studies can be read and continued.
`paper` is that of arXiv 2302.13602, which chose epochs and learning rates on the test set.

Settings of `protocol: paper`: those of the public code behind arXiv 2302.13602, fine-tuning.

From that code: AdamW with weight decay on all parameters, batch 128 for 128 epochs, 500 steps of
warm-up even where a run has fewer, gradients clipped at norm 1, no label smoothing, fp32; crops of
8 to 100% of the area, flips, RandAugment rand-m9-mstd0.5-inc1 (with which timm leaves color jitter
out), random erasing at 0.25; a head from the class names where the parent has a text tower, else
from zero; batch norm in training mode; the best epoch and learning rate on the test set.

Left out on purpose, since these are mistakes:
- Test sets cut to k images per class at k shots (5 of the 9 data sets). Ours are whole.
- Heads from class names in another order than the labels (8 of 9). Names and labels are one list.
- Linear probes that train on test features from the second epoch on. So there is no `lp` here.
- ImageNet's mean and deviation for parents pre-trained with CLIP's. Each parent gets its own.
- Other learning rates for other parents, with most of the best at the edge. All get one list.

Added: validation images, which choose nothing. They tell how much higher the best epoch on the test
set is than the best one on them. At k shots they are outside of the shots; at `full` they are the
official validation set. Without one, all images are for training as in the paper, and there is no
comparison.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

ProtocolName = Literal["standard", "paper", "0.1"]
Choose = Literal["pooled", "per-draw"]


@dataclass(frozen=True)
class Protocol:
    """Defaults that stand before those of the recipe classes."""

    solver: str = "logistic"  # of mode lp
    choose: Choose = "pooled"
    modes: tuple[str, ...] | None = None  # those it has; None: all
    settings: Mapping[str, Any] = field(default_factory=dict)  # of what AdamW trains


PAPER_MODES = ("ft",)

PAPER_SETTINGS: Mapping[str, Any] = MappingProxyType(
    {
        "batch": 128,
        "epochs": 128,
        "min_steps": None,
        "warmup_steps": 500,
        "warmup_cap": False,  # 128 steps of 1 shot reach a quarter of the learning rate
        "weight_decay": 0.1,
        "decay_all": True,
        "grad_clip": 1.0,
        "label_smoothing": 0.0,
        "precision": "fp32",
        "head": "auto",
        "batch_norm": "train",
        "layer_decay": None,
        "drop_path": None,
        "crop": {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]},
        "flip": True,
        "randaugment": "increasing",
        "erase": 0.25,
        "select": "test",
        "validation": "few",
    }
)

_VERSION_0_1 = {"validation": "fraction", "val_seed": 0, "min_steps": None, "head": "auto"}

PROTOCOLS: dict[str, Protocol] = {
    "standard": Protocol(),
    "0.1": Protocol("adamw", "per-draw", ("ft", "lp"), _VERSION_0_1),
    "paper": Protocol("logistic", "per-draw", PAPER_MODES, PAPER_SETTINGS),
}
