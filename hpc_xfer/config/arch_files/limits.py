"""Bound what an architecture may be: plain names, and numbers that a machine can build.

open_clip and timm take a name for a place: `hf-hub:` goes to the network, `local-dir:` and paths to
files whose code or weights nobody checked. Only names of their own lists are passed on. Numbers far
beyond any model take all memory of a login node: 4 GB for one matrix of 32,768 x 32,768.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

MOST_PARAMETERS = 10_000_000_000  # 40 GB in fp32; the largest of open_clip, EVA02-E-14-plus, has 5
_NAME = re.compile(r"(torchvision/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_TIMM = re.compile(r"[a-z0-9_]{1,80}(\.[a-z0-9_]{1,80})?")
_WORD = re.compile(r"[A-Za-z0-9_]{0,40}")
_LARGEST_WIDTH = 16_384  # the widest of open_clip has 1,792
_MOST_LAYERS = 256  # the deepest has 64
_BLOCK = {
    "width": _LARGEST_WIDTH,
    "layers": _MOST_LAYERS,
    "mlp_ratio": 32,
    "ls_init_value": 1,
}
_VISION = {
    **_BLOCK,
    "head_width": 4096,
    "patch_size": 1024,
    "image_size": 4096,
    "patch_dropout": 1,
    "attn_pooler_queries": 4096,
    "attn_pooler_heads": 1024,
    "timm_drop": 1,
    "timm_drop_path": 1,
}
_TEXT = {
    **_BLOCK,
    "heads": 1024,
    "context_length": 8192,
    "vocab_size": 2_000_000,
    "pad_id": 2_000_000,
    "eos_id": 2_000_000,
}
_MAY_BE_ZERO = {"patch_dropout", "timm_drop", "timm_drop_path", "pad_id", "eos_id", "ls_init_value"}
_FRACTIONS = {"mlp_ratio", "ls_init_value", "patch_dropout", "timm_drop", "timm_drop_path"}
_LISTS_OF_IMAGES = {"layers": 4, "image_size": 2}  # stages of a ResNet; height and width
# Defaults of open_clip, or what its own files leave to timm. Null for other keys ends its builder.
_MAY_BE_NULL = {
    *("ls_init_value", "act_kwargs", "norm_kwargs", "block_type"),
    *("patch_size", "timm_model_name", "timm_proj", "timm_drop_path"),
}
_WORDS = {"pool_type", "pos_embed_type", "block_type", "proj_type", "timm_pool", "timm_proj"}
_OPTIONS = {"act_kwargs", "norm_kwargs"}
_MOST_OPTIONS = 10
_FLAGS = {
    *("attentional_pool", "no_ln_pre", "final_ln_after_pool", "output_tokens", "qk_norm"),
    *("scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc"),
    *("timm_proj_bias", "embed_cls", "no_causal_mask", "proj_bias"),
}


def _plain_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be a name of open_clip or torchvision: no path, folder, hub or URL")
    return name


def _vision(config: dict[str, Any]) -> dict[str, Any]:
    is_vit = config.get("timm_model_name") is None and isinstance(config.get("layers", 12), int)
    if is_vit and config.get("patch_size", 16) is None:
        raise ValueError("patch_size must be a whole number for a ViT")
    return _checked(config, _VISION, _LISTS_OF_IMAGES)


def _text(config: dict[str, Any]) -> dict[str, Any]:
    return _checked(config, _TEXT, {})


def _checked(
    config: dict[str, Any], numbers: Mapping[str, int], lists: Mapping[str, int]
) -> dict[str, Any]:
    for key, value in config.items():
        if (why := _why_refused(key, value, numbers, lists.get(key))) is not None:
            raise ValueError(f"{key if _WORD.fullmatch(key) else 'a key'} {why}")
    return config


def _why_refused(
    key: str, value: Any, numbers: Mapping[str, int], in_list: int | None
) -> str | None:
    if value is None and (key in _MAY_BE_NULL or _is_of_hugging_face(key)):
        return None
    if _is_of_hugging_face(key):
        return "is of Hugging Face, which compute nodes cannot reach; remove it"
    if key == "timm_model_pretrained":
        return None if value is False else "fetches weights; name them with `init` instead"
    if key == "timm_model_name":
        if isinstance(value, str) and _TIMM.fullmatch(value):
            return None
        return "must be a name of timm: no path, folder, hub or URL"
    if key in _WORDS:
        plain = isinstance(value, str) and _WORD.fullmatch(value)
        return None if plain else "must be one word"
    if key in _FLAGS:
        return None if isinstance(value, bool) else "must be true or false"
    if key in _OPTIONS:
        return None if _are_options(value) else "must be a mapping of a few words and numbers"
    if key not in numbers:
        return "is no key of open_clip; remove it"
    if isinstance(value, list | tuple) and len(value) == in_list:
        whys = (_why_no_number(key, each, numbers[key]) for each in value)
        return next((why for why in whys if why is not None), None)
    return _why_no_number(key, value, numbers[key])


def _is_of_hugging_face(key: str) -> bool:
    return key.startswith(("hf_", "tokenizer_"))


def _why_no_number(key: str, value: Any, most: int) -> str | None:
    least = 0 if key in _MAY_BE_ZERO else 1e-6
    is_number = isinstance(value, int) or (isinstance(value, float) and key in _FRACTIONS)
    if isinstance(value, bool) or not is_number or not least <= value <= most:
        number = "a number" if key in _FRACTIONS else "a whole number"
        return f"must be {number} {'from' if least == 0 else 'above'} 0 to {most:,}"
    return None


def _are_options(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= _MOST_OPTIONS
        and all(_WORD.fullmatch(key) for key in value)
        and all(
            isinstance(each, bool | int | float)
            or (isinstance(each, str) and _WORD.fullmatch(each) is not None)
            for each in value.values()
        )
    )


ArchName = Annotated[str, AfterValidator(_plain_name)]
VisionConfig = Annotated[dict[str, Any], AfterValidator(_vision)]
TextConfig = Annotated[dict[str, Any], AfterValidator(_text)]
Width = Annotated[int, Field(gt=0, le=_LARGEST_WIDTH)]
