"""Facts about an architecture without importing torch: its name, its size, its image side.

The counts are closed forms of open_clip's ModifiedResNet, VisionTransformer and TextTransformer
(a test checks them against the real modules); towers of timm and Hugging Face are not counted.
"""

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from hpc_xfer.config.arch_files.limits import MOST_PARAMETERS
from hpc_xfer.config.recipes import Arch, Architecture
from hpc_xfer.errors import DataError
from hpc_xfer.system.screen.plain_text import plain

# torchvision's ImageNet classifiers that end in one `fc`: parameters without it.
TORCHVISION = {
    "torchvision/resnet18": 11_176_512,
    "torchvision/resnet34": 21_284_672,
    "torchvision/resnet50": 23_508_032,
    "torchvision/resnet101": 42_500_160,
    "torchvision/resnet152": 58_143_808,
    "torchvision/resnext50_32x4d": 22_979_904,
    "torchvision/wide_resnet50_2": 66_834_240,
}
# The text tower and joint space of a torchvision encoder: those of open_clip's RN50.
TORCHVISION_TEXT = "RN50"


@cache
def known_architectures() -> frozenset[str]:
    """List the names that a study may use."""
    return frozenset(TORCHVISION) | {n for n in _of_open_clip() if why_unsupported(n) is None}


@cache
def _of_open_clip() -> frozenset[str]:
    return frozenset(path.stem for path in _configs().glob("*.json"))


def why_unsupported(name: str) -> str | None:
    """Say why a study cannot use one of open_clip's names; None if it can, or if it is not one."""
    if name not in _of_open_clip():
        return None
    config = _named_config(name)
    if config["vision_cfg"].get("output_tokens"):
        return "is a CoCa, whose image tower gives tokens for captions besides its feature"
    if "hf_model_name" in config.get("text_cfg", {}):
        return "takes its text tower from Hugging Face, which compute nodes cannot reach"
    return None


def why_no_patches(arch: Arch) -> str | None:
    """Say why patches of the image cannot be dropped; None if they can."""
    vision = model_config(arch)["vision_cfg"]
    if (isinstance(arch, str) and arch in TORCHVISION) or isinstance(vision.get("layers"), list):
        return "is a ResNet, which has no patches"
    if "timm_model_name" in vision:
        return "has an image tower of timm, where patch_dropout is not offered"
    if vision.get("patch_dropout"):
        return "has a patch_dropout of its own in vision_cfg"
    return None


def has_batchnorm(arch: Arch) -> bool | None:
    """Tell whether the image tower has batch norm; None where only its module knows (timm)."""
    vision = model_config(arch)["vision_cfg"]
    if "timm_model_name" in vision:
        return None
    return (isinstance(arch, str) and arch in TORCHVISION) or isinstance(vision.get("layers"), list)


def kept_patches(patches: int, dropped: float | None) -> int:
    """Count the patches of an image that are left, as open_clip does."""
    return max(1, int(patches * (1 - dropped))) if dropped else patches


def image_size(arch: Arch) -> int:
    """Side of the square input in pixels."""
    config = model_config(arch)
    size = config["vision_cfg"].get("image_size", 224)
    return int(size[0] if isinstance(size, list) else size)


@cache
def _named_config(name: str) -> dict[str, Any]:
    if name in TORCHVISION:
        text = _named_config(TORCHVISION_TEXT)
        return {**text, "vision_cfg": {"image_size": 224}}
    if name not in _of_open_clip():  # a name may be a path that leads elsewhere
        raise DataError(f"no architecture is called {plain(name, most=80)!r}; correct arch")
    config: dict[str, Any] = json.loads((_configs() / f"{name}.json").read_text(encoding="utf-8"))
    return config


def model_config(arch: Arch) -> dict[str, Any]:
    """The open_clip configuration; of a torchvision encoder, that of its text tower."""
    if isinstance(arch, Architecture):
        return arch.model_dump(exclude_none=True)
    return _named_config(arch)


def parameters(arch: Arch) -> tuple[int, int] | None:
    """Count the weights of the visual and of the text tower; None where there is no closed form."""
    config = model_config(arch)
    vision, text, out = config["vision_cfg"], config.get("text_cfg", {}), config["embed_dim"]
    if "timm_model_name" in vision or "hf_model_name" in text:
        return None
    if isinstance(arch, str) and arch in TORCHVISION:
        visual = TORCHVISION[arch]
    elif isinstance(vision.get("layers"), list | tuple):
        visual = _resnet(vision, out)
    else:
        visual = _vit(vision, out)
    return visual, _text(text, out)


def why_too_large(arch: Arch) -> str | None:
    """Say why an architecture is not built; None if it is no larger than any in use."""
    counts = parameters(arch)
    if counts is None or sum(counts) <= MOST_PARAMETERS:
        return None
    return (
        f"has {sum(counts):,} weights, and at most {MOST_PARAMETERS:,} are built; make it smaller"
    )


def _resnet(vision: dict[str, Any], out: int) -> int:
    width = vision.get("width", 64)
    half, wide = width // 2, width * 32
    total = 9 * (3 * half + half * half + half * width) + 2 * (half + half + width)
    inside = width
    for stage, blocks in enumerate(vision["layers"]):
        planes = width * 2**stage
        for block in range(blocks):
            total += inside * planes + 13 * planes**2 + 12 * planes
            if block == 0:
                total += 4 * inside * planes + 8 * planes
            inside = 4 * planes
    positions = (_side(vision) // 32) ** 2 + 1
    return int(total + positions * wide + 3 * (wide * wide + wide) + wide * out + out)


def _vit(vision: dict[str, Any], out: int) -> int:
    width, patch = vision.get("width", 768), vision.get("patch_size", 16)
    tokens = (_side(vision) // patch) ** 2 + 1
    ratio = vision.get("mlp_ratio", 4.0)
    around = 3 * patch**2 * width + width + tokens * width + 4 * width + width * out
    return int(around + vision.get("layers", 12) * _block(width, ratio))


def _side(vision: dict[str, Any]) -> int:
    side = vision.get("image_size", 224)
    return int(side[0] if isinstance(side, list | tuple) else side)


def _text(text: dict[str, Any], out: int) -> int:
    width = text.get("width", 512)
    tokens = text.get("vocab_size", 49408) + text.get("context_length", 77)
    blocks = text.get("layers", 12) * _block(width, text.get("mlp_ratio", 4.0))
    return int(tokens * width + blocks + 2 * width + width * out)


def _block(width: int, mlp_ratio: float) -> int:
    """Attention, MLP, two layer norms."""
    hidden = int(width * mlp_ratio)
    return 4 * width**2 + 4 * width + 2 * width * hidden + hidden + width + 4 * width


@cache
def open_clip_folder() -> Path:
    """Find open_clip's folder without importing it, which takes 7.6 s."""
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None and spec.origin is not None, "open_clip_torch is a requirement"
    return Path(spec.origin).parent


def _configs() -> Path:
    return open_clip_folder() / "model_configs"
