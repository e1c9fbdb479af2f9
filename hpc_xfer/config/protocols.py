"""Protocols: defaults of fine-tuning settings that a study names with one word.

`standard` is the default. `0.1` is what version 0.1 did: its studies can be read and continued.
`paper` is that of arXiv 2302.13602, which chose epochs and learning rates on the test set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hpc_xfer.config import paper_protocol

ProtocolName = Literal["standard", "paper", "0.1"]
Choose = Literal["pooled", "per-draw"]


@dataclass(frozen=True)
class Protocol:
    """Defaults that stand before those of the recipe classes."""

    solver: str = "logistic"  # of mode lp
    choose: Choose = "pooled"
    modes: tuple[str, ...] | None = None  # those it has; None: all
    settings: Mapping[str, Any] = field(default_factory=dict)  # of what AdamW trains


_VERSION_0_1 = {"validation": "fraction", "val_seed": 0, "min_steps": None, "head": "auto"}

PROTOCOLS: dict[str, Protocol] = {
    "standard": Protocol(),
    "0.1": Protocol("adamw", "per-draw", ("ft", "lp"), _VERSION_0_1),
    "paper": Protocol("logistic", "per-draw", paper_protocol.MODES, paper_protocol.SETTINGS),
}
