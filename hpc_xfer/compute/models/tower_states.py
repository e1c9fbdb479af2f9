"""Find the towers of a model among tensors, whatever names were put before theirs.

    found = find_towers(state, towers.visual.state_dict(), "ckpt.pt", "RN50")
    found.visual.state, found.text, found.left_out

A prefix fits if the tower's tensors are all there behind it: so DDP's `module.`, torch.compile's
`_orig_mod.`, Lightning's `model.`, MoCo's `encoder_q.` and the like are found in any nesting.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hpc_xfer.compute.models.state_files import State
from hpc_xfer.errors import DataError

_CONSTANT = ("attn_mask", "position_ids")  # some versions store them, others compute them
_OPTIONAL = "num_batches_tracked"  # files older than 2019 lack it
# Put into names by DDP, torch.compile, FSDP and activation checkpointing, also in the middle.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_HEADS = re.compile(
    r"(fc\d*|heads?\w*|classifier\w*|\w*head|\w*projector\w*|\w*predictor\w*|projections?|prototypes"
    r"|linear|last_layer|queue\w*|criterion|loss\w*)$"
)
_OLD_TEXT = (
    "text_projection",
    "positional_embedding",
    "token_embedding",
    "transformer",
    "ln_final",
)
_SCALARS = ("logit_scale", "logit_bias")  # the bias is of SigLIP
_POSITIONS = ("positional_embedding", "pos_embed")
_MOST_GROUPS = 8
# A part of a name -> the format that has it, and the way out.
_FOREIGN = {
    "vision_model.encoder.layers.": (
        "has the names of Hugging Face transformers; take open_clip's file of the same model"
    ),
    "vision_model.embeddings.": (
        "has the names of Hugging Face transformers; take open_clip's file of the same model"
    ),
    "encoder.layer.0.attention": (
        "has the names of Hugging Face transformers; take the file of open_clip or torchvision"
    ),
    "encoder.stages.0.layers.": (
        "has the names of Hugging Face transformers; take the file of open_clip or torchvision"
    ),
    "blocks.0.attn.qkv.": "has the names of timm; take a file of open_clip, or an arch of timm",
    "stages.0.blocks.0.": "has the names of timm; take a file of open_clip, or an arch of timm",
}


def unwrapped(state: State) -> State:
    """Take the names of wrappers out of the names of tensors."""
    out: State = {}
    for name, value in state.items():
        plain = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        out[plain if plain and plain not in out else name] = value
    return out


def names_of(own: Mapping[str, Tensor]) -> list[str]:
    """List the tensors that a file must have."""
    return [name for name in own if _last(name) not in _CONSTANT and _last(name) != _OPTIONAL]


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


@dataclass(frozen=True, eq=False)
class NamedTower:
    """Tensors of one tower, and what stood before their names in the file."""

    state: State
    prefix: str

    def check_complete(self, own: Mapping[str, Tensor], where: str, arch: str) -> None:
        """Refuse a tower that lacks tensors.

        Raises:
            DataError: with their number and the first of them.
        """
        names = names_of(own)
        if missing := [name for name in names if name not in self.state]:
            raise DataError(
                f"{where}: lacks {len(missing):,} of {len(names):,} tensors of arch {arch}, the "
                f"first {self.prefix}{missing[0]}; name another file or another arch"
            )

    def check_nothing_beyond(self, own: Mapping[str, Tensor], where: str, arch: str) -> list[str]:
        """Return the tensors of heads, which are left out; refuse others that the tower has not.

        A deeper network contains a shallower one, and a layer left out would change every feature.

        Raises:
            DataError: with the first of them.
        """
        own_parts = {name.split(".")[0] for name in own}
        beyond = [name for name in self.state if name not in own and _last(name) not in _CONSTANT]
        for name in sorted(beyond):
            first = name.split(".")[0]
            if first in own_parts or not _HEADS.match(first):
                raise DataError(
                    f"{where}: has {self.prefix}{name}, which arch {arch} does not have; name "
                    "another file or another arch"
                )
        return [self.prefix + name for name in beyond]

    def check_shapes(self, own: Mapping[str, Tensor], where: str, arch: str, side: int) -> None:
        """Refuse tensors of other sizes, and tell image sizes from the position embeddings.

        Args:
            side: of the images that the architecture takes, in pixels; 0 for other towers.

        Raises:
            DataError: with both sizes of the first.
        """
        odd = [n for n in self.state if n in own and self.state[n].shape != own[n].shape]
        if not odd:
            return
        name = odd[0]
        theirs = self.state[name]
        positions = side and len(odd) == 1 and _last(name) in _POSITIONS
        if positions and (found := _side(theirs, own[name], side)) is not None:
            raise DataError(
                f"{where}: was trained with images of {found} pixels, arch {arch} takes {side}; "
                "use an arch of that size"
            )
        raise DataError(
            f"{where}: {self.prefix}{name} is {_shape(theirs)}, arch {arch} has "
            f"{_shape(own[name])}; name another file or another arch"
        )


@dataclass(frozen=True, eq=False)
class FoundTowers:
    """The towers of a model in a file, and the names of all else in it."""

    visual: NamedTower
    text: NamedTower | None
    projection: NamedTower | None  # of a torchvision encoder of ours
    scalars: State  # logit_scale, logit_bias
    left_out: tuple[str, ...]

    @property
    def beside(self) -> tuple[str, ...]:
        """Name what the file has beside the image tower."""
        towers = {"text": self.text, "projection": self.projection}
        return (*(name for name, tower in towers.items() if tower is not None), *self.scalars)


def find_towers(state: State, own: Mapping[str, Tensor], where: str, arch: str) -> FoundTowers:
    """Sort tensors into towers.

    Args:
        own: the tensors of the image tower.

    Raises:
        DataError: the image tower is not there, or several times.
    """
    prefix = _image_prefix(state, own, where, arch)
    base = prefix.removesuffix("visual.")
    text = _text(state, base)
    projection = _below(state, f"{base}projection.") if text is not None else None
    if projection is not None and projection.state.keys() != {"weight"}:
        projection = None  # a head of several layers
    scalars = {n: state[base + n] for n in _SCALARS if base + n in state}
    used = {base + name for name in scalars}
    for tower in (text, projection):
        used |= set() if tower is None else {tower.prefix + name for name in tower.state}
    visual = {k: v for k, v in state.items() if k.startswith(prefix) and k not in used}
    left_out = [name for name in state if name not in used and name not in visual]
    return FoundTowers(
        visual=NamedTower({k.removeprefix(prefix): v for k, v in visual.items()}, prefix),
        text=text,
        projection=projection,
        scalars=scalars,
        left_out=tuple(left_out),
    )


def _image_prefix(state: State, own: Mapping[str, Tensor], where: str, arch: str) -> str:
    """Find what stands before the names of the image tower."""
    names = set(names_of(own))
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in names:
                counts["".join(f"{part}." for part in parts[:cut])] += 1
    whole = [prefix for prefix, count in counts.items() if count == len(names)]
    fitting = [p for p in whole if all(state[p + n].shape == own[n].shape for n in names)]
    fitting = _different(state, fitting or whole, names)
    if len(fitting) > 1:
        listed = ", ".join(prefix.rstrip(".") or "(no name)" for prefix in fitting[:4])
        raise DataError(
            f"{where}: holds several image towers ({listed}); state one of them in the site file "
            "with `key`"
        )
    if fitting:
        return fitting[0]
    for part, why in _FOREIGN.items():
        if any(part in name for name in state):
            raise DataError(f"{where}: {why}")
    # What it lacks is told when it is loaded, best with the names that open_clip has.
    return max(counts, key=lambda p: (p.endswith("visual."), counts[p]), default="")


def _different(state: State, prefixes: list[str], names: set[str]) -> list[str]:
    """Drop prefixes that lead to copies of what stands behind a shorter one."""
    kept: list[str] = []
    for prefix in sorted(prefixes, key=len):
        if not any(
            all(torch.equal(state[prefix + name], state[other + name]) for name in names)
            for other in kept
        ):
            kept.append(prefix)
    return kept


def _below(state: State, prefix: str) -> NamedTower | None:
    found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return NamedTower(found, prefix) if found else None


def _text(state: State, base: str) -> NamedTower | None:
    """Return the text tower of a CLIP model, in the layout of today or in that of OpenAI."""
    if f"{base}token_embedding.weight" not in state:
        return _below(state, f"{base}text.")
    own = {k.removeprefix(base): v for k, v in state.items() if k.startswith(base)}
    return NamedTower({k: v for k, v in own.items() if k.split(".")[0] in _OLD_TEXT}, base)


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"


def _side(theirs: Tensor, own: Tensor, side: int) -> int | None:
    """Compute the image size from the number of position embeddings; None if it does not come out.

    One of them may be of the class token, or of the mean that attention pooling adds.
    """
    if theirs.ndim != own.ndim or theirs.shape[-1] != own.shape[-1] or own.ndim < 2:
        return None
    extra = own.shape[-2] - math.isqrt(own.shape[-2]) ** 2
    grid, own_grid = (math.isqrt(each.shape[-2] - extra) for each in (theirs, own))
    if extra > 1 or grid**2 + extra != theirs.shape[-2] or not grid:
        return None
    return side * grid // own_grid


def summary(names: list[str]) -> tuple[str, ...]:
    """Name tensors in groups: `fc.*`, `queue`; the last one counts what is beyond the first few."""
    groups: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        depth = next((i for i, part in enumerate(parts) if _HEADS.match(part)), 0)
        groups.setdefault(".".join(parts[: depth + 1]), []).append(name)
    listed = [found[0] if len(found) == 1 else f"{group}.*" for group, found in groups.items()]
    more = len(listed) - _MOST_GROUPS
    return (*listed[:_MOST_GROUPS], *([f"{more} more groups"] if more > 0 else []))
