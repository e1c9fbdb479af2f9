"""Read weights that others trained: as an encoder like any other, or as the start of a training.

From a file that the site names (`released: {name: path}`): a state dict of open_clip, OpenAI's CLIP
or a torchvision classifier, OpenAI's own TorchScript file, or an encoder.safetensors of ours.
Otherwise the name is an open_clip
tag whose file was fetched before.

    weights = read("RN50", "openai", file)
    towers = whole("RN50", weights)       # both towers, as they were trained
    parts = start(towers, weights)        # what these towers have of them
"""

import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import safetensors.torch
import torch
from torch import Tensor

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.encoders import Normalization, Towers
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Arch, Architecture, arch_name
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files

State = dict[str, Tensor]
_CONSTANT = ("attn_mask", "position_ids")  # some versions store them, others compute them
_OPENAI = "input_resolution"  # a number beside the weights, in OpenAI's files alone
_BESIDE = ("text.", "projection.", "logit_")  # beside a torchvision encoder, in a file of ours


@dataclass(frozen=True, eq=False)
class Weights:
    """The content of a file: an image tower, and maybe a text tower with what belongs to both."""

    where: str  # the file or tag, for messages
    sha256: str  # of the file
    visual: State
    text: State
    projection: State
    logit_scale: Tensor | None = None
    logit_bias: Tensor | None = None  # of SigLIP
    normalization: Normalization | None = None  # None: that of the architecture


def read(arch: Arch, name: str, file: Path | None) -> Weights:
    """Read released weights.

    Args:
        file: that the site names; without it, the name is a tag.

    Raises:
        DataError: there is no such file or tag.
    """
    if file is None:
        return _by_tag(arch, name)
    state, normalization = _read_file(file)
    sha256 = atomic_files.sha256(file)
    return _sorted(arch, state, f"{file}", sha256, normalization)


def whole(arch: Arch, weights: Weights) -> Towers:
    """Build the towers that were trained.

    Raises:
        DataError: the weights do not fit the architecture, or a part is missing.
    """
    if _is_torchvision(arch):
        towers = encoders.build(arch, seed=0, with_text=False)
        start(towers, weights)
        return towers
    towers = encoders.build(arch, seed=0, with_text=True)
    parts = start(towers, weights)
    for part, name in (("text", "text tower"), ("logit_scale", "logit_scale")):
        if part not in parts:
            raise DataError(
                f"{weights.where}: has no {name}, so it is not of a CLIP model; name another file"
            )
    return towers


def start(towers: Towers, weights: Weights) -> tuple[str, ...]:
    """Load into the towers what the weights have of them; name the parts that were loaded.

    The image tower and its normalization always are. A text tower is loaded with what belongs to
    both towers; if the file has none, these stay as they are.

    Raises:
        DataError: the weights do not fit the architecture.
    """
    _fit(towers.visual, weights.visual, weights.where)
    parts = ["visual"]
    if weights.normalization is not None:
        towers.normalization = weights.normalization
    if towers.text is None or not weights.text:
        return tuple(parts)
    _fit(towers.text, weights.text, weights.where)
    parts.append("text")
    if towers.projection is not None and weights.projection:
        _fit(towers.projection, weights.projection, weights.where)
        parts.append("projection")
    for name in ("logit_scale", "logit_bias"):
        if (value := getattr(weights, name)) is not None:
            setattr(towers, name, value.float().reshape(()))
            parts.append(name)
    return tuple(parts)


def _is_torchvision(arch: Arch) -> bool:
    return isinstance(arch, str) and arch in architectures.TORCHVISION


def _read_file(file: Path) -> tuple[State, Normalization | None]:
    """Read the tensors and, from a file of ours, how to normalize images."""
    normalization = None
    try:
        if file.suffix == ".safetensors":
            state: Any = safetensors.torch.load_file(file)
            with safetensors.safe_open(file, framework="pt") as opened:
                normalization = _normalization(opened.metadata() or {})
        elif _is_torchscript(file):
            state = _torchscript_state(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{file}: no such file; correct `released` in the site file") from None
    except Exception as error:  # any error of torch, pickle or zipfile: not a file of weights
        reason = f"{error}".splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file}: is not a file of weights ({reason}); fetch it again") from error
    while isinstance(state, dict) and "state_dict" in state:
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise DataError(
            f"{file}: is not a state dict (a mapping from names to tensors); name the file of one"
        )
    return {key.removeprefix("module."): value for key, value in state.items()}, normalization


def _is_torchscript(file: Path) -> bool:
    """Tell if a file is a TorchScript archive, as OpenAI distributes its weights."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _torchscript_state(file: Path) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch advises to save in another format
        state: dict[str, Any] = torch.jit.load(file, map_location="cpu").state_dict()
    return state


def _check_activation(arch: Arch, state: State, where: str) -> None:
    """Refuse OpenAI's weights for the usual activation: they would fit, with wrong features.

    Raises:
        DataError: with the architecture to take.
    """
    if _OPENAI in state and not architectures.model_config(arch).get("quick_gelu", False):
        named = isinstance(arch, str)
        other = f"{arch}-quickgelu" if named else "of open_clip whose name ends in -quickgelu"
        raise DataError(
            f"{where}: has OpenAI's weights, trained with another activation; use arch {other}"
        )


def _normalization(header: Mapping[str, str]) -> Normalization | None:
    """Read mean and standard deviation from the header that safetensors_export.py writes."""
    if not {"mean", "std"} <= header.keys():
        return None
    mean, std = (tuple(map(float, json.loads(header[name]))) for name in ("mean", "std"))
    assert len(mean) == len(std) == 3
    return mean, std


def _sorted(
    arch: Arch, state: State, where: str, sha256: str, normalization: Normalization | None
) -> Weights:
    """Sort tensors into towers, whatever prefixes the layout of the file gives them."""
    if _is_torchvision(arch):
        visual = {k: v for k, v in state.items() if not k.startswith(("fc.", *_BESIDE))}
    else:
        _check_activation(arch, state, where)
        state = open_clip.model.convert_to_custom_text_state_dict(state)
        # A file of an image tower alone has no prefix.
        visual = _below(state, "visual.") or {
            k: v for k, v in state.items() if not k.startswith(_BESIDE)
        }
    return Weights(
        where=where,
        sha256=sha256,
        visual=visual,
        text=_below(state, "text."),
        projection=_below(state, "projection."),
        logit_scale=state.get("logit_scale"),
        logit_bias=state.get("logit_bias"),
        normalization=normalization,
    )


def _below(state: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _fit(module: torch.nn.Module, state: State, where: str) -> None:
    own = module.state_dict()
    state = {key: value for key, value in state.items() if key.split(".")[-1] not in _CONSTANT}
    if beyond := sorted(state.keys() - own.keys()):  # a deeper network contains a shallower one
        raise DataError(
            f"{where}: has {beyond[0]}, which the architecture does not have; name another file or "
            "another arch"
        )
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(
            f"{where}: does not fit the architecture ({first}); name another file"
        ) from None


def _by_tag(arch: Arch, tag: str) -> Weights:
    if isinstance(arch, Architecture):
        raise DataError(
            f"{arch_name(arch)} is a JSON file, for which nobody released weights {tag!r}; "
            "add their file to `released` in the site file"
        )
    known = open_clip.list_pretrained_tags_by_model(arch)
    if tag not in known:
        listed = ", ".join(known) or "none"
        raise DataError(
            f"{arch} has no released weights {tag!r} (known: {listed}); name one of these"
        )
    settings = open_clip.get_pretrained_cfg(arch, tag)
    quick = bool(settings.get("quick_gelu", False))
    if quick != bool(architectures.model_config(arch).get("quick_gelu", False)):
        other = f"{arch}-quickgelu" if quick else arch.removesuffix("-quickgelu")
        raise DataError(f"{arch} {tag}: was trained with another activation; use arch {other}")
    try:
        model, _, _ = open_clip.create_model_and_transforms(arch, pretrained=tag)
        file = Path(open_clip.download_pretrained(settings))  # it is there by now
    except Exception as error:  # any error of the hub client without network
        raise DataError(
            f"{arch} {tag}: cannot be loaded ({error}); fetch it on a node with network: "
            f"python -c \"import open_clip; open_clip.create_model('{arch}', pretrained='{tag}')\""
        ) from error
    normalization = (tuple(model.visual.image_mean), tuple(model.visual.image_std))
    sha256 = atomic_files.sha256(file)
    return _sorted(arch, model.state_dict(), f"{arch} {tag}", sha256, normalization)
