"""Load weights that others trained, as an encoder like any other.

From a file that the site names (`released: {name: path}`): an open_clip or OpenAI CLIP state dict,
or a torchvision classifier's. Otherwise the name is an open_clip tag whose file was fetched before.
"""

from pathlib import Path
from typing import Any

import open_clip
import torch

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.config import architectures
from hpc_xfer.errors import DataError

_CONSTANT = ("attn_mask", "position_ids")  # some versions store them, others compute them


def load(arch: str, weights: str, file: Path | None) -> Towers:
    """Build the towers and load released weights.

    Raises:
        DataError: there is no such file or tag, or it does not fit the architecture.
    """
    if file is None:
        return _by_tag(arch, weights)
    state = _read(file)
    if arch in architectures.TORCHVISION:
        towers = encoders.build(arch, seed=0, with_text=False)
        _fit(towers.visual, {k: v for k, v in state.items() if not k.startswith("fc.")}, file)
        return towers
    return _from_clip(arch, state, file)


def _read(file: Path) -> dict[str, Any]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; correct `released` in the site file") from None
    except Exception as error:  # any error of torch, pickle or zipfile: not a file of weights
        reason = f"{error}".splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file}: is not a file of weights ({reason}); fetch it again") from error
    while isinstance(state, dict) and "state_dict" in state:
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise DataError(
            f"{file}: is not a state dict (a mapping from names to tensors); name the file of one"
        )
    return {key.removeprefix("module."): value for key, value in state.items()}


def _from_clip(arch: str, state: dict[str, Any], file: Path) -> Towers:
    """Load both towers; the text tower's names may lack `text.`, as in open_clip's CLIP."""
    towers = encoders.build(arch, seed=0, with_text=True)
    state = open_clip.model.convert_to_custom_text_state_dict(state)
    assert towers.text is not None
    _fit(towers.visual, _below(state, "visual."), file)
    _fit(towers.text, _below(state, "text."), file)
    if "logit_scale" not in state:
        raise DataError(
            f"{file}: has no logit_scale, so it is not of a CLIP model; name another file"
        )
    towers.logit_scale = state["logit_scale"].float().reshape(())
    return towers


def _below(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _fit(module: torch.nn.Module, state: dict[str, Any], file: Path) -> None:
    own = module.state_dict()
    state = {key: value for key, value in state.items() if key.split(".")[-1] not in _CONSTANT}
    if beyond := sorted(state.keys() - own.keys()):  # a deeper network contains a shallower one
        raise DataError(
            f"{file}: has {beyond[0]}, which the architecture does not have; name another file or "
            "another arch"
        )
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(
            f"{file}: does not fit the architecture ({first}); name another file"
        ) from None


def _by_tag(arch: str, tag: str) -> Towers:
    known = open_clip.list_pretrained_tags_by_model(arch)
    if tag not in known:
        listed = ", ".join(known) or "none"
        raise DataError(
            f"{arch} has no released weights {tag!r} (known: {listed}); name one of these"
        )
    quick = bool(open_clip.get_pretrained_cfg(arch, tag).get("quick_gelu", False))
    if quick != bool(architectures.model_config(arch).get("quick_gelu", False)):
        other = f"{arch}-quickgelu" if quick else arch.removesuffix("-quickgelu")
        raise DataError(f"{arch} {tag}: was trained with another activation; use arch {other}")
    try:
        model, _, _ = open_clip.create_model_and_transforms(arch, pretrained=tag)
    except Exception as error:  # any error of the hub client without network
        raise DataError(
            f"{arch} {tag}: cannot be loaded ({error}); fetch it on a node with network: "
            f"python -c \"import open_clip; open_clip.create_model('{arch}', pretrained='{tag}')\""
        ) from error
    towers = _from_clip(arch, model.state_dict(), Path(tag))
    towers.normalization = (tuple(model.visual.image_mean), tuple(model.visual.image_std))
    return towers
