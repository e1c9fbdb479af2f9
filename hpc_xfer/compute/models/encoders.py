"""Encoders: the visual tower that every method trains and every fine-tuning starts from.

An encoder maps images (N, 3, S, S), normalized, to features (N, dim). Methods that learn from
captions add a text tower. The visual tower is the same module under all methods, so that they can
be compared.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.models import weights_file
from hpc_xfer.compute.models.word_tokenizer import CutCaptions, WordTokenizer
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Arch, Architecture, arch_name
from hpc_xfer.config.released.released_entry import Normalization, Triple
from hpc_xfer.errors import DataError

_LARGEST_SIDE = 4096  # pixels
Tokenizer = Callable[[list[str]], Tensor]
CLIP_NORMALIZATION: Normalization = (
    open_clip.OPENAI_DATASET_MEAN,
    open_clip.OPENAI_DATASET_STD,
)
IMAGENET_NORMALIZATION: Normalization = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass
class Towers:
    """A visual tower with what is needed to use it; text only if captions were used."""

    visual: nn.Module
    dim: int  # of the features
    image_size: int
    normalization: Normalization
    text: nn.Module | None = None
    projection: nn.Module | None = None  # features -> joint space, if they differ
    logit_scale: Tensor | None = None  # log of the inverse temperature
    logit_bias: Tensor | None = None  # of `siglip`
    classes: tuple[str, ...] | None = None  # of `supervised`
    head: nn.Module | None = None  # features -> logits of those

    def image_features(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, joint dim), on the unit sphere."""
        features = self.visual(images)
        joint = features if self.projection is None else self.projection(features)
        return F.normalize(joint, dim=-1)

    def text_features(self, tokens: Tensor) -> Tensor:
        """(N, context) -> (N, joint dim), on the unit sphere."""
        assert self.text is not None, "this encoder has no text tower"
        return F.normalize(self.text(tokens), dim=-1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block; restore the random state of the process after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def build(arch: Arch, seed: int, with_text: bool) -> Towers:
    """Build random towers; a seed gives the same visual tower with and without text."""
    config = architectures.model_config(arch)
    if (why := architectures.why_too_large(arch)) is not None:
        raise DataError(f"arch {arch_name(arch)}: {why}")
    with seeded(seed):
        if isinstance(arch, str) and arch in architectures.TORCHVISION:
            return _torchvision(arch, config, with_text)
        return _open_clip(config, with_text)


_SIMPLE = "SimpleTokenizer"  # open_clip's, of byte pairs, as OpenAI's CLIP has it


def tokenizer(arch: Arch) -> Tokenizer:
    """Make the tokenizer: list of captions -> (N, context) token ids."""
    name, context = _tokenizer_of(arch)
    if name == _SIMPLE:
        made = open_clip.SimpleTokenizer(context_length=context)
    else:
        made = open_clip.get_tokenizer(name)
    plain = isinstance(made, open_clip.SimpleTokenizer) and made.reduction_fn is None
    return WordTokenizer(made) if plain else CutCaptions(cast(Tokenizer, made))


def context_length(arch: Arch) -> int:
    """Tokens per caption."""
    return _tokenizer_of(arch)[1]


def _tokenizer_of(arch: Arch) -> tuple[str, int]:
    """Return the tokenizer's name in open_clip, and tokens per caption."""
    context = architectures.model_config(arch)["text_cfg"].get("context_length", 77)
    if isinstance(arch, Architecture):
        return _SIMPLE, context
    return architectures.TORCHVISION_TEXT if arch in architectures.TORCHVISION else arch, context


def save(path: Path, arch: Arch, towers: Towers) -> str:
    """Write encoder.pt: weights and how to feed them, readable without our code.

    Returns:
        The SHA-256 of the file.

    Raises:
        StoreError: the disk is full or cannot be written.
    """
    state = description(arch, towers)
    for name, module in _parts(towers).items():
        weights = None if module is None else module.state_dict()
        state[name] = None if weights is None else {k: v.cpu() for k, v in weights.items()}
    return weights_file.write(path, state)


def description(arch: Arch, towers: Towers) -> dict[str, Any]:
    """Describe an encoder as plain values, without weights; None is what its method lacks."""
    with_text = towers.text is not None
    name, context = _tokenizer_of(arch) if with_text else (None, None)
    return {
        "schema": 1,
        "arch": arch.model_dump(mode="json") if isinstance(arch, Architecture) else arch,
        "mean": list(towers.normalization[0]),
        "std": list(towers.normalization[1]),
        "image_size": towers.image_size,
        "logit_scale": None if towers.logit_scale is None else float(towers.logit_scale),
        **({} if towers.logit_bias is None else {"logit_bias": float(towers.logit_bias)}),
        "tokenizer": name,
        "context_length": context,
        "classes": None if towers.classes is None else list(towers.classes),
    }


def _parts(towers: Towers) -> dict[str, nn.Module | None]:
    return {
        "visual": towers.visual,
        "text": towers.text,
        "projection": towers.projection,
        "head": towers.head,
    }


def not_finite(towers: Towers) -> str | None:
    """Name the first tensor with a NaN or an infinite number; None if there is none."""
    for part, module in _parts(towers).items():
        for name, value in (module.state_dict() if module is not None else {}).items():
            if not bool(value.isfinite().all()):
                return f"{part}.{name}"
    for name in ("logit_scale", "logit_bias"):
        value = getattr(towers, name)
        if value is not None and not bool(value.isfinite()):
            return name
    return None


@dataclass(frozen=True)
class Product:
    """The encoder that a finished run has, as its recipe and its record say."""

    arch: Arch
    sha256: str | None = None  # of its file; None in records of older versions


def load(path: Path, product: Product | None = None) -> tuple[Arch, Towers]:
    """Read encoder.pt. Args and Raises: as `load_hashed`."""
    return load_hashed(path, product)[:2]


def load_hashed(path: Path, product: Product | None = None) -> tuple[Arch, Towers, str]:
    """Read encoder.pt, and return the SHA-256 of what was read.

    Args:
        product: what it has to be; its architecture is built. None: that of the file.

    Raises:
        DataError: the file is missing, damaged or another one than its run made, or holds numbers
            that are not finite.
    """
    again = "delete the folder of its run (runs/<id>) and launch again"
    found = weights_file.read_hashed(path)
    if found is None:
        raise DataError(f"{path}: the encoder is missing or damaged; {again}")
    state, digest = found
    if product is not None and product.sha256 not in (None, digest):
        raise DataError(f"{path}: is not the file that its run wrote (record.json); {again}")
    try:
        arch = _arch_of(state)
        if product is not None and _content_of(arch) != _content_of(product.arch):
            raise DataError(f"{path}: is of another arch than its run; {again}")
        towers = _towers_of(product.arch if product is not None else arch, state)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if "memory" in str(error):  # of this machine, not of the file
            raise
        raise DataError(f"{path}: does not hold what an encoder has; {again}") from error
    if (broken := not_finite(towers)) is not None:
        raise DataError(f"{path}: has NaN or infinite weights in {broken}; {again}")
    return arch, towers, digest


def _arch_of(state: Mapping[str, Any]) -> Arch:
    arch = state["arch"]
    return arch if isinstance(arch, str) else Architecture.model_validate(arch)


def _content_of(arch: Arch) -> str | dict[str, Any]:
    """Return a name, or a mapping: a manifest holds its keys in another order."""
    return arch if isinstance(arch, str) else arch.model_dump(mode="json")


def _towers_of(arch: Arch, state: Mapping[str, Any]) -> Towers:
    """Build towers and load their weights; any of several errors if these are not such weights."""
    towers = build(arch, seed=0, with_text=state["text"] is not None)
    towers.visual.load_state_dict(state["visual"])
    towers.normalization = (_triple(state["mean"]), _triple(state["std"]))
    towers.image_size = state["image_size"]  # released weights may be for another than their arch
    if not isinstance(towers.image_size, int) or not 0 < towers.image_size <= _LARGEST_SIDE:
        raise ValueError("image_size is not a size of images")
    if towers.text is not None:
        towers.text.load_state_dict(state["text"])
        towers.logit_scale = torch.tensor(float(state["logit_scale"]))
        if "logit_bias" in state:
            towers.logit_bias = torch.tensor(float(state["logit_bias"]))
    if towers.projection is not None and state["projection"] is not None:
        towers.projection.load_state_dict(state["projection"])
    if state.get("head") is not None:
        towers.classes = tuple(map(str, state["classes"]))
        if state["head"]["weight"].shape != (len(towers.classes), towers.dim):
            raise ValueError("head and classes differ")  # before it takes memory for them
        towers.head = nn.Linear(towers.dim, len(towers.classes))
        towers.head.load_state_dict(state["head"])
    return towers


def _triple(values: Any) -> Triple:
    red, green, blue = map(float, values)
    return red, green, blue


def _open_clip(config: dict[str, Any], with_text: bool) -> Towers:
    model = open_clip.CustomTextCLIP(
        embed_dim=config["embed_dim"],
        vision_cfg=config["vision_cfg"],
        text_cfg=config.get("text_cfg", {}),
        quick_gelu=config.get("quick_gelu", False),
    )
    size = config["vision_cfg"].get("image_size", 224)
    return Towers(
        visual=model.visual,
        dim=config["embed_dim"],
        image_size=size if isinstance(size, int) else size[0],
        normalization=CLIP_NORMALIZATION,
        text=model.text if with_text else None,
        logit_scale=model.logit_scale.detach().clone() if with_text else None,
    )


def _torchvision(arch: str, config: dict[str, Any], with_text: bool) -> Towers:
    """Build a classifier without its last layer; text adds a linear map to the joint space."""
    visual = torchvision.models.get_model(arch.removeprefix("torchvision/"), weights=None)
    dim = visual.fc.in_features
    visual.fc = nn.Identity()
    towers = Towers(visual, dim, 224, IMAGENET_NORMALIZATION)
    if with_text:
        text_side = _open_clip(architectures.model_config(architectures.TORCHVISION_TEXT), True)
        towers.text, towers.logit_scale = text_side.text, text_side.logit_scale
        towers.projection = nn.Linear(dim, config["embed_dim"], bias=False)
    return towers
