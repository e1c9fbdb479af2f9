"""Write encoder.safetensors, which plain open_clip and torchvision load.

    open_clip.create_model("RN50", pretrained="encoder.safetensors")              # with text
    open_clip.create_model("RN50", pretrained="encoder.safetensors", init_logit_bias=-10)  # siglip
    open_clip.create_model("RN50", pretrained_image_path="encoder.safetensors")   # without
    torchvision.models.resnet50().load_state_dict(load_file("encoder.safetensors"), strict=False)

The header has arch, mean, std, image_size and the rest of `encoders.description`; values that are
not text are JSON.
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Arch
from hpc_xfer.system import atomic_files


def write(path: Path, arch: Arch, towers: Towers) -> None:
    """Write the weights under the names that other libraries use.

    Raises:
        StoreError: the disk is full or cannot be written.
    """
    values = {k: v for k, v in encoders.description(arch, towers).items() if v is not None}
    header = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    weights = {k: v.detach().cpu().contiguous() for k, v in _named(arch, towers).items()}
    atomic_files.write_bytes(path, safetensors.torch.save(weights, {"format": "pt", **header}))


def _named(arch: Arch, towers: Towers) -> dict[str, Tensor]:
    """Name the weights: open_clip expects `visual.` if there is text, otherwise no prefix."""
    if towers.text is None:
        return towers.visual.state_dict()
    assert towers.logit_scale is not None
    rest = {"logit_scale": towers.logit_scale}
    rest |= {} if towers.logit_bias is None else {"logit_bias": towers.logit_bias}
    if isinstance(arch, str) and arch in architectures.TORCHVISION:
        rest |= _below("text.", towers.text) | _below("projection.", towers.projection)
        return towers.visual.state_dict() | rest
    text = "text." if _has_own_text(architectures.model_config(arch)) else ""
    return _below("visual.", towers.visual) | _below(text, towers.text) | rest


def _below(prefix: str, module: nn.Module | None) -> dict[str, Tensor]:
    weights = {} if module is None else module.state_dict()
    return {f"{prefix}{name}": value for name, value in weights.items()}


def _has_own_text(config: dict[str, Any]) -> bool:
    """Tell if open_clip.create_model makes a CustomTextCLIP: text tower below `text.`."""
    return bool(config.get("custom_text")) or "hf_model_name" in config.get("text_cfg", {})
