"""Operations, activations and features of an image tower: closed forms, without importing torch.

    tower = tower_costs("ViT-B-32")
    tower.flops           # of one image, forward; a multiplication and an addition are two

A test holds them against the count of the real modules. Towers of timm and Hugging Face have no
closed form here: `is_known` is False, and the costs are those of a tower of middle size.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from hpc_xfer.config.architectures import (
    TORCHVISION,
    image_size,
    kept_patches,
    model_config,
    parameters,
)
from hpc_xfer.config.recipes import Arch, Architecture


@dataclass(frozen=True)
class TowerCosts:
    """Costs of one image in an image tower, and of one text in its text tower."""

    flops: float  # forward
    text_flops: float  # forward
    activations: float  # numbers kept for the backward pass
    weights: float
    features: int
    side: int  # of the image, in pixels
    is_known: bool = True
    text_activations: float = 0.0  # numbers kept for the backward pass
    text_weights: float = 0.0


# Torchvision's table of weights: multiplications and additions at 224 px. Then the numbers that
# convolutions write, counted the same way; batch norm keeps as many again.
_TORCHVISION: dict[str, tuple[float, float, int]] = {
    "torchvision/resnet18": (1.81e9, 2.5e6, 512),
    "torchvision/resnet34": (3.66e9, 3.8e6, 512),
    "torchvision/resnet50": (4.09e9, 11.1e6, 2048),
    "torchvision/resnet101": (7.80e9, 16.2e6, 2048),
    "torchvision/resnet152": (11.51e9, 22.6e6, 2048),
    "torchvision/resnext50_32x4d": (4.23e9, 14.4e6, 2048),
    "torchvision/wide_resnet50_2": (11.40e9, 14.4e6, 2048),
}
_UNKNOWN_FLOPS, _UNKNOWN_ACTIVATIONS, _UNKNOWN_WEIGHTS = 35e9, 40e6, 90e6  # ConvNeXt-B, ViT-B-16
# Numbers kept by a transformer block per token and channel: two norms, queries, keys and values,
# attention's output, and the MLP's hidden layer before and after its activation.
_KEPT_IN_ATTENTION = 8.0
_KEPT_IN_CONVOLUTION = 2.0  # what a convolution writes, and what its batch norm does


def tower_costs(arch: Arch, patch_dropout: float | None = None) -> TowerCosts:
    """Count the costs of an architecture.

    Args:
        patch_dropout: share of the patches that a vision transformer does not see.
    """
    if isinstance(arch, Architecture):
        return _costs(arch, model_config(arch), patch_dropout)
    return _named_costs(arch, patch_dropout)


@cache
def _named_costs(arch: str, patch_dropout: float | None) -> TowerCosts:
    return _costs(arch, model_config(arch), patch_dropout)


def _costs(arch: Arch, config: dict[str, Any], patch_dropout: float | None) -> TowerCosts:
    vision, text = config["vision_cfg"], config.get("text_cfg", {})
    out, side = int(config["embed_dim"]), image_size(arch)
    text_flops, text_kept = (0.0, 0.0) if "hf_model_name" in text else _text(text)
    counted = parameters(arch)
    if counted is None:
        known = (_UNKNOWN_FLOPS, text_flops, _UNKNOWN_ACTIVATIONS, _UNKNOWN_WEIGHTS)
        return TowerCosts(*known, out, side, is_known=False, text_activations=text_kept)
    weights, text_weights = map(float, counted)
    beside = {"text_activations": text_kept, "text_weights": text_weights}
    if isinstance(arch, str) and arch in TORCHVISION:
        products, written, out = _TORCHVISION[arch]
        kept = _KEPT_IN_CONVOLUTION * written
        return TowerCosts(2 * products, text_flops, kept, weights, out, side, **beside)
    if _is_resnet(vision):
        flops, kept = _resnet(vision, out, side)
    else:
        flops, kept = _vit(vision, out, side, patch_dropout)
    return TowerCosts(flops, text_flops, kept, weights, out, side, **beside)


def _is_resnet(vision: dict[str, Any]) -> bool:
    return isinstance(vision.get("layers"), list)


def _resnet(vision: dict[str, Any], out: int, side: int) -> tuple[float, float]:
    """FLOPs and kept numbers of a ModifiedResNet, which pools before it takes fewer pixels."""
    width = vision.get("width", 64)
    half, pixels = width // 2, (side // 2) ** 2
    products = 9.0 * pixels * (3 * half + half * half + half * width)
    written = float(pixels * (half + half + width))
    pixels, inside = pixels // 4, width
    for stage, blocks in enumerate(vision["layers"]):
        planes = width * 2**stage
        for block in range(blocks):
            after = pixels // 4 if stage and not block else pixels
            products += pixels * (inside * planes + 9 * planes**2) + after * 4 * planes**2
            written += pixels * 2 * planes + after * 4 * planes
            if not block:
                products += after * inside * 4 * planes
                written += after * 4 * planes
            pixels, inside = after, 4 * planes
    tokens, wide = pixels + 1, 32 * width
    products += 2 * tokens * wide**2 + wide**2 + wide * out + 2 * tokens * wide
    return 2.0 * products, _KEPT_IN_CONVOLUTION * written


def _vit(
    vision: dict[str, Any], out: int, side: int, patch_dropout: float | None
) -> tuple[float, float]:
    """FLOPs and kept numbers of a VisionTransformer."""
    width, patch = vision.get("width", 768), vision.get("patch_size", 16)
    layers, ratio = vision.get("layers", 12), vision.get("mlp_ratio", 4.0)
    patches = (side // patch) ** 2
    products = 3.0 * patch**2 * width * patches + width * out
    tokens = kept_patches(patches, patch_dropout) + 1
    products += layers * _block_products(tokens, width, ratio)
    return 2.0 * products, _kept_by_blocks(layers, tokens, width, ratio)


def _text(text: dict[str, Any]) -> tuple[float, float]:
    """FLOPs and kept numbers of a text tower."""
    width, context = text.get("width", 512), text.get("context_length", 77)
    layers, ratio = text.get("layers", 12), text.get("mlp_ratio", 4.0)
    flops = 2 * layers * _block_products(context, width, ratio)
    return float(flops), _kept_by_blocks(layers, context, width, ratio)


def _kept_by_blocks(layers: int, tokens: int, width: int, mlp_ratio: float) -> float:
    return float(layers * tokens * width * (_KEPT_IN_ATTENTION + 2 * mlp_ratio))


def _block_products(tokens: int, width: int, mlp_ratio: float) -> float:
    """Products of a transformer block: projections, MLP, and attention between all tokens."""
    return tokens * (4 + 2 * mlp_ratio) * width**2 + 2 * tokens**2 * width
