"""Facts about weights beside the tensors: activation, image size, normalization, and who says so.

    facts = facts_of(entry, find_weights(Path(entry.path)))
    check_facts(facts, "ViT-B-32", "openclip.pt")   # raises where they do not fit
    fact_notes(facts, "ViT-B-32", "openclip.pt")    # what nothing tells

The site file goes before the header of a file of ours, that before open_clip_config.json beside the
file, that before what is known of OpenAI's files.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Arch, Architecture, arch_name
from hpc_xfer.config.released import weight_files
from hpc_xfer.config.released.released_entry import Activation, Normalization, ReleasedEntry, Triple
from hpc_xfer.config.released.weight_files import CONFIG, WeightFiles
from hpc_xfer.errors import DataError

SITE = "site file"
OPENAI = "OpenAI's file"
HEADER = "its header"
OPEN_CLIP = "open_clip"
# CLIP's own, as in open_clip.constants.
_OPENAI_NORMALIZATION: Normalization = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
_OURS = ("bicubic", "shortest")  # how images are made small here: images/crops.py
# Keys of open_clip's config that change no number of a forward pass, or that are compared apart.
_UNIMPORTANT = {
    *("image_size", "timm_model_pretrained", "timm_drop", "timm_drop_path", "patch_dropout"),
    *("hf_model_pretrained", "hf_tokenizer_name", "tokenizer_kwargs"),
}


@dataclass(frozen=True)
class WeightFacts:
    """Known facts about weights, each with its source; None where nothing tells."""

    normalization: Normalization | None = None
    normalization_by: str | None = None
    size: int | None = None  # side of images in pixels
    size_by: str | None = None
    activation: Activation | None = None
    activation_by: str | None = None
    resizing: tuple[str, str] | None = None  # interpolation and mode, in open_clip's words
    model: Mapping[str, Any] | None = None  # open_clip's configuration of the architecture

    def before(self, other: "WeightFacts") -> "WeightFacts":
        """Return these facts, and where they lack one, that of the other."""
        first, second = vars(self), vars(other)
        return WeightFacts(**{k: second[k] if v is None else v for k, v in first.items()})


def facts_of(entry: ReleasedEntry, found: WeightFiles) -> WeightFacts:
    """Collect what is known of weights without reading them.

    Raises:
        DataError: the site file states another activation than the weights have.
    """
    return with_statement(entry, known_facts(found))


def known_facts(found: WeightFiles) -> WeightFacts:
    """Collect what files tell of themselves."""
    facts = WeightFacts()
    for file in found.files[:1]:
        if weight_files.is_safetensors(file):
            header = (weight_files.safetensors_header(file) or {}).get("__metadata__") or {}
            facts = facts.before(facts_of_header(header))
        elif weight_files.is_openais(file):
            facts = facts.before(openais_facts(None))
    return facts.before(_facts_of_config(found.config)) if found.config is not None else facts


def with_statement(entry: ReleasedEntry, known: WeightFacts) -> WeightFacts:
    """Put what the site file states before what is known.

    Raises:
        DataError: they differ in the activation, which is a property of the weights.
    """
    if entry.activation and known.activation and entry.activation != known.activation:
        raise DataError(
            f"{entry.path}: {known.activation_by} says {known.activation}, the site file states "
            f"{entry.activation}; remove `activation`"
        )
    stated = WeightFacts(
        normalization=entry.normalization,
        normalization_by=None if entry.normalization is None else SITE,
        size=entry.size,
        size_by=None if entry.size is None else SITE,
        activation=entry.activation,
        activation_by=None if entry.activation is None else SITE,
    )
    return stated.before(known)


def openais_facts(size: int | None) -> WeightFacts:
    """Return what is known of OpenAI's CLIP models."""
    size_by = None if size is None else OPENAI
    return WeightFacts(_OPENAI_NORMALIZATION, OPENAI, size, size_by, "quick_gelu", OPENAI)


def facts_of_header(header: Mapping[str, Any]) -> WeightFacts:
    """Read what the description of an encoder of ours says; values that are not text are JSON."""
    values = {k: _value(v) if k != "tokenizer" else v for k, v in header.items()}
    normalization = _normalization(values)
    size, arch = values.get("image_size"), values.get("arch")
    activation: Activation | None = None
    if isinstance(arch, str) and arch in architectures.known_architectures():
        activation = activation_of(arch)
    elif isinstance(arch, dict):
        activation = "gelu"  # the only one of architectures in JSON files
    return WeightFacts(
        normalization=normalization,
        normalization_by=normalization and HEADER,
        size=size if isinstance(size, int) else None,
        size_by=HEADER if isinstance(size, int) else None,
        activation=activation,
        activation_by=activation and HEADER,
    )


def _value(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _normalization(values: Mapping[str, Any]) -> Normalization | None:
    mean, std = _triple(values.get("mean")), _triple(values.get("std"))
    return None if mean is None or std is None else (mean, std)


def _triple(values: Any) -> Triple | None:
    match values:
        case [int() | float() as red, int() | float() as green, int() | float() as blue]:
            return float(red), float(green), float(blue)
    return None


def _facts_of_config(config: Mapping[str, Any]) -> WeightFacts:
    model, images = config["model_cfg"], config.get("preprocess_cfg") or {}
    sizes = [images.get("size"), (model.get("vision_cfg") or {}).get("image_size")]
    sides = [size[0] if isinstance(size, list) and size else size for size in sizes]
    size = next((side for side in sides if isinstance(side, int)), None)
    normalization = _normalization(images)
    interpolation, mode = (images.get(name) for name in ("interpolation", "resize_mode"))
    resizing = (str(interpolation or _OURS[0]), str(mode or _OURS[1]))
    return WeightFacts(
        normalization=normalization,
        normalization_by=normalization and CONFIG,
        size=size,
        size_by=None if size is None else CONFIG,
        activation="quick_gelu" if model.get("quick_gelu") else "gelu",
        activation_by=CONFIG,
        resizing=resizing if images else None,
        model=model,
    )


def facts_of_tag(settings: Mapping[str, Any]) -> WeightFacts:
    """Return what open_clip says of weights that it can fetch."""
    normalization = _normalization(settings)
    return WeightFacts(
        normalization=normalization,
        normalization_by=normalization and OPEN_CLIP,
        activation="quick_gelu" if settings.get("quick_gelu") else "gelu",
        activation_by=OPEN_CLIP,
        resizing=(
            settings.get("interpolation", "bicubic"),
            settings.get("resize_mode", "shortest"),
        ),
    )


def activation_of(arch: Arch) -> Activation | None:
    """Return the activation of an architecture of open_clip; torchvision's image towers have none.

    The text tower beside these is open_clip's, with gelu.
    """
    if isinstance(arch, str) and arch in architectures.TORCHVISION:
        return None
    return "quick_gelu" if architectures.model_config(arch).get("quick_gelu") else "gelu"


def _with_activation(arch: Arch, activation: Activation) -> str:
    """Name the architecture that differs in its activation alone."""
    if isinstance(arch, Architecture):
        return "of open_clip whose name ends in -quickgelu"
    other = arch.removesuffix("-quickgelu")
    return f"{other}-quickgelu" if activation == "quick_gelu" else other


def check_facts(facts: WeightFacts, arch: Arch, where: str) -> None:
    """Compare weights with the architecture where they would fit by their shapes alone.

    Raises:
        DataError: with the architecture to take.
    """
    own = activation_of(arch)
    if facts.activation is not None and own is not None and facts.activation != own:
        raise DataError(
            f"{where}: was trained with {facts.activation} ({facts.activation_by}), arch "
            f"{arch_name(arch)} has {own}; use arch {_with_activation(arch, facts.activation)}"
        )
    side = architectures.image_size(arch)
    if facts.size not in (None, side) and _has_positions(arch):
        raise DataError(
            f"{where}: is for images of {facts.size} pixels ({facts.size_by}), arch "
            f"{arch_name(arch)} takes {side}; use {_of_size(arch, facts.size)}"
        )
    for name, theirs, ours in _differences(facts.model, arch):
        if theirs is not None and ours is not None:
            raise DataError(
                f"{where}: {CONFIG} has {name} {theirs}, arch {arch_name(arch)} has {ours}; use "
                "another arch"
            )


def _has_positions(arch: Arch) -> bool:
    """Tell if an image tower has embeddings of positions, as those of open_clip itself have."""
    named = isinstance(arch, str) and arch in architectures.TORCHVISION
    return not named and "timm_model_name" not in architectures.model_config(arch)["vision_cfg"]


def _of_size(arch: Arch, size: int | None) -> str:
    """Name the architecture that differs in the side of its images alone."""
    if isinstance(arch, str):
        own = _without_size(arch)
        for name in sorted(architectures.known_architectures()):
            if architectures.image_size(name) == size and _without_size(name) == own:
                return f"arch {name}"
    return "another arch"


def _without_size(arch: str) -> dict[str, Any]:
    config = architectures.model_config(arch)
    vision = {k: v for k, v in config["vision_cfg"].items() if k != "image_size"}
    return {**config, "vision_cfg": vision}


def _differences(model: Mapping[str, Any] | None, arch: Arch) -> Iterator[tuple[str, Any, Any]]:
    """Yield name and both values of what configurations have differently; None is nothing."""
    own = architectures.model_config(arch)
    if model is None or (isinstance(arch, str) and arch in architectures.TORCHVISION):
        return
    if model.get("embed_dim") != own["embed_dim"]:
        yield "embed_dim", model.get("embed_dim"), own["embed_dim"]
    for part in ("vision_cfg", "text_cfg"):
        theirs, ours = model.get(part) or {}, own.get(part) or {}
        for name in sorted({*theirs, *ours} - _UNIMPORTANT):
            if theirs.get(name) != ours.get(name):
                yield f"{part}.{name}", theirs.get(name), ours.get(name)


def fact_notes(facts: WeightFacts, arch: Arch, where: str) -> Iterator[str]:
    """Say what nothing tells of weights, and what is done otherwise here than with open_clip."""
    name, activation = arch_name(arch), activation_of(arch)
    if facts.activation is None and activation is not None and _has_both(arch):
        yield (
            f"nothing tells which activation {where} was trained with; taken from arch {name} "
            f"({activation}); state it with `activation`"
        )
    if facts.normalization is None:
        yield (
            f"nothing tells the mean and std of {where}; those of arch {name} are taken; state "
            "them with `mean` and `std`"
        )
    if facts.resizing is not None and facts.resizing != _OURS:
        yield (
            f"{where}: open_clip resizes its images by {' and '.join(facts.resizing)}, here "
            f"by {' and '.join(_OURS)}"
        )
    odd = [key for key, theirs, ours in _differences(facts.model, arch) if None in (theirs, ours)]
    if odd:
        yield f"{where}: {CONFIG} and arch {name} state different keys, the first {odd[0]}"


def _has_both(arch: Arch) -> bool:
    """Tell if open_clip has the architecture with either activation."""
    if isinstance(arch, Architecture):
        return False
    other = _with_activation(arch, "gelu" if arch.endswith("-quickgelu") else "quick_gelu")
    return other in architectures.known_architectures()
