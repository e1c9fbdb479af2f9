"""Depth of each weight of a classifier, for a learning rate that falls from the head to the stem.

    layer_depths(classifier)     # {"visual.conv1.weight": 0, ..., "head.weight": 13} for a ViT-B

The stem is layer 0: patches or first convolutions, class and position embeddings, the norm before
the blocks. Each block of a vision transformer and each of the four stages of a ResNet is a layer.
All that follows is the last layer, with the head: norm, pooling by attention, projection (as in
BEiT, Bao et al. 2022). Towers of timm have timm's groups, then the head.
"""

import re
from typing import Any

import open_clip.modified_resnet
import open_clip.transformer
import torchvision.models.resnet
from timm.models import group_parameters
from torch import nn

from hpc_xfer.errors import DataError

_STEM = re.compile(r"(conv[123]|bn[123]|class_embedding|positional_embedding|ln_pre)\b")
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.")  # from 0
_STAGE = re.compile(r"layer([1-4])\.")
_RESNETS = (open_clip.modified_resnet.ModifiedResNet, torchvision.models.resnet.ResNet)


def layer_depths(module: nn.Module) -> dict[str, int]:
    """Map the name of each parameter of a module with an encoder `visual` to its layer.

    Raises:
        DataError: the layers of this encoder are not known.
    """
    visual = module.visual
    assert isinstance(visual, nn.Module)
    inside = _encoder_depths(visual)
    last = 1 + max(depth for depth in inside.values() if depth is not None)
    depths = {f"visual.{name}": depth for name, depth in inside.items()}
    found = {name: depths.get(name) for name, _ in module.named_parameters()}
    return {name: last if depth is None else depth for name, depth in found.items()}


def _encoder_depths(visual: nn.Module) -> dict[str, int | None]:
    """Layers by parameter; None is the last one."""
    names = [name for name, _ in visual.named_parameters()]
    if isinstance(visual, open_clip.transformer.VisionTransformer):
        return {name: _depth(name, _BLOCK, first=1) for name in names}
    if isinstance(visual, _RESNETS):
        return {name: _depth(name, _STAGE, first=0) for name in names}
    trunk: Any = getattr(visual, "trunk", None)  # of a model of timm
    if hasattr(trunk, "group_matcher"):
        # Coarse groups are stages where a model has them, as in the other ResNets.
        groups = group_parameters(trunk, trunk.group_matcher(coarse=True), reverse=True)
        return {name: groups.get(name.removeprefix("trunk.")) for name in names}
    raise DataError(
        f"layer_decay is not offered for this encoder ({type(visual).__name__}), whose layers are "
        "not known; remove layer_decay"
    )


def _depth(name: str, layer: re.Pattern[str], first: int) -> int | None:
    if found := layer.match(name):
        return first + int(found[1])
    return 0 if _STEM.match(name) else None
