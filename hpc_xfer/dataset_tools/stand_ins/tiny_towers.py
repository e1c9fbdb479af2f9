"""Make the tensors of a small CLIP model by the names that open_clip gives them, without torch.

    towers = tensors_of(arch, seed=0)        # visual.conv1.weight -> array, ...

Both towers and logit_scale; the image tower is a ModifiedResNet or a VisionTransformer.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.recipes import Architecture

if TYPE_CHECKING:  # a login node that makes no stand-ins does not need numpy
    from numpy.typing import NDArray

Shape = tuple[int, ...]
_LOGIT_SCALE = math.log(1 / 0.07)  # as CLIP begins
_MLP = 4  # times the width


def tensors_of(arch: Architecture, seed: int) -> "dict[str, NDArray[Any]]":
    """Draw the weights of both towers."""
    import numpy as np

    draw = np.random.default_rng(seed)
    made: dict[str, NDArray[Any]] = {}
    for name, shape in shapes_of(arch):
        last = name.rsplit(".", 1)[-1]
        if last == "num_batches_tracked":
            made[name] = np.array(1, "<i8")
        elif len(shape) > 1:
            deviation = math.prod(shape[1:]) ** -0.5
            made[name] = draw.normal(0, deviation, shape).astype("<f4")
        else:
            made[name] = np.full(shape, float(last in ("weight", "running_var")), "<f4")
    made["logit_scale"] = np.array(_LOGIT_SCALE, "<f4")
    return made


def shapes_of(arch: Architecture) -> Iterator[tuple[str, Shape]]:
    """Yield the name and the shape of each tensor of both towers."""
    vision = arch.vision_cfg
    is_resnet = isinstance(vision["layers"], list | tuple)
    visual = _resnet(vision, arch.embed_dim) if is_resnet else _vit(vision, arch.embed_dim)
    yield from ((f"visual.{name}", shape) for name, shape in visual)
    yield from ((f"text.{name}", shape) for name, shape in _text(arch.text_cfg, arch.embed_dim))


def _resnet(vision: Any, out: int) -> Iterator[tuple[str, Shape]]:
    width: int = vision["width"]
    stem = ((3, width // 2), (width // 2, width // 2), (width // 2, width))
    for i, (inside, outside) in enumerate(stem, start=1):
        yield f"conv{i}.weight", (outside, inside, 3, 3)
        yield from _norm(f"bn{i}", outside)
    inside = width
    for stage, blocks in enumerate(vision["layers"]):
        planes = width * 2**stage
        for block in range(blocks):
            yield from _bottleneck(f"layer{stage + 1}.{block}", inside, planes, block == 0)
            inside = 4 * planes
    positions = (vision["image_size"] // 32) ** 2 + 1
    yield "attnpool.positional_embedding", (positions, inside)
    for name, size in (("k", inside), ("q", inside), ("v", inside), ("c", out)):
        yield f"attnpool.{name}_proj.weight", (size, inside)
        yield f"attnpool.{name}_proj.bias", (size,)


def _bottleneck(name: str, inside: int, planes: int, is_first: bool) -> Iterator[tuple[str, Shape]]:
    sizes = ((planes, inside, 1), (planes, planes, 3), (4 * planes, planes, 1))
    for i, (to, of, side) in enumerate(sizes, start=1):
        yield f"{name}.conv{i}.weight", (to, of, side, side)
        yield from _norm(f"{name}.bn{i}", to)
    if is_first:
        yield f"{name}.downsample.0.weight", (4 * planes, inside, 1, 1)
        yield from _norm(f"{name}.downsample.1", 4 * planes)


def _norm(name: str, size: int) -> Iterator[tuple[str, Shape]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (size,)
    yield f"{name}.num_batches_tracked", ()


def _vit(vision: Any, out: int) -> Iterator[tuple[str, Shape]]:
    width, patch = vision["width"], vision["patch_size"]
    yield "class_embedding", (width,)
    yield "positional_embedding", ((vision["image_size"] // patch) ** 2 + 1, width)
    yield "proj", (width, out)
    yield "conv1.weight", (width, 3, patch, patch)
    yield from _pair("ln_pre", (width,))
    yield from _blocks(vision["layers"], width)
    yield from _pair("ln_post", (width,))


def _text(text: Any, out: int) -> Iterator[tuple[str, Shape]]:
    width = text["width"]
    yield "positional_embedding", (text["context_length"], width)
    yield "text_projection", (width, out)
    yield "token_embedding.weight", (text["vocab_size"], width)
    yield from _blocks(text["layers"], width)
    yield from _pair("ln_final", (width,))


def _blocks(layers: int, width: int) -> Iterator[tuple[str, Shape]]:
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        yield from _pair(f"{block}.ln_1", (width,))
        yield f"{block}.attn.in_proj_weight", (3 * width, width)
        yield f"{block}.attn.in_proj_bias", (3 * width,)
        yield from _pair(f"{block}.attn.out_proj", (width, width))
        yield from _pair(f"{block}.ln_2", (width,))
        yield from _pair(f"{block}.mlp.c_fc", (_MLP * width, width))
        yield from _pair(f"{block}.mlp.c_proj", (width, _MLP * width))


def _pair(name: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]
