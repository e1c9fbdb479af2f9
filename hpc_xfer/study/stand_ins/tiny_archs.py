"""Replace architectures by tiny ones of the same kind, of which no two are alike."""

from collections.abc import Iterable
from typing import Any

from hpc_xfer.config.architectures import why_no_patches
from hpc_xfer.config.recipes import Arch, Architecture, Pretrain, arch_name

_FIRST_DIM, _DIM_STEP = 16, 8  # of the joint space


class TinyArchs:
    """The tiny architectures of a study. Each differs from the others in its joint space."""

    def __init__(self, recipes: Iterable[Pretrain]) -> None:
        known = dict.fromkeys(_key(recipe.arch) for recipe in recipes)
        self._dims = {key: _FIRST_DIM + _DIM_STEP * i for i, key in enumerate(known)}

    def of(self, arch: Arch) -> Architecture:
        """Return a ViT of one layer for a ViT, else a ResNet of four blocks."""
        vision: dict[str, Any] = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8,
                                  "head_width": 64}  # fmt: skip
        if _is_vit(arch):
            vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
        text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
        name, dim = f"{arch_name(arch)}-stand-in", self._dims[_key(arch)]
        return Architecture.model_validate(
            {"name": name, "embed_dim": dim, "vision_cfg": vision, "text_cfg": text}
        )


def _key(arch: Arch) -> str:
    return arch if isinstance(arch, str) else arch.model_dump_json()


def _is_vit(arch: Arch) -> bool:
    """Tell a vision transformer by its parts; those of timm by their names."""
    named = isinstance(arch, str) and "vit" in arch.lower()
    return named or why_no_patches(arch) is None
