"""Files of weights for tests: saved, loaded by the names of their tensors, refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hpc_xfer.compute.models import pretrained_weights
from hpc_xfer.compute.models.pretrained_weights import LoadedWeights
from hpc_xfer.config.recipes import Arch
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.errors import DataError

RESNET = "torchvision/resnet18"


State = dict[str, Tensor]


def saved(file: Path, content: Any) -> Path:
    torch.save(content, file)
    return file


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def load(arch: Arch, file: Path, **stated: Any) -> tuple[State, LoadedWeights]:
    """The weights of both towers by name, and what was told."""
    entry = ReleasedEntry(path=str(file), **stated)
    towers, loaded = pretrained_weights.whole(arch, pretrained_weights.read(arch, "mine", entry))
    visual = prefixed(towers.visual.state_dict(), "visual.")
    text = {} if towers.text is None else prefixed(towers.text.state_dict(), "text.")
    scale = {} if towers.logit_scale is None else {"logit_scale": towers.logit_scale}
    return {**visual, **text, **scale}, loaded


def refused(arch: Arch, file: Path, **stated: Any) -> str:
    """The one short sentence, behind the name of the file."""
    with pytest.raises(DataError) as caught:
        load(arch, file, **stated)
    told = str(caught.value)
    assert "\n" not in told and told.startswith(f"{file}: ")
    told = told.removeprefix(f"{file}: ")
    assert len(told) < 300
    return told


def ours(state: State) -> State:
    """A torchvision file without its head, as our tower has it."""
    return prefixed({k: v for k, v in state.items() if not k.startswith("fc.")}, "visual.")


OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3), "step": torch.ones(1)}}, "param_groups": []}
