"""Read weights that others trained: as an encoder like any other, or as the start of a training.

From a file that the site names (`released: {name: path}`), in any form that state_files.py reads.
Otherwise the name is an open_clip tag whose file was fetched before.

    weights = read("RN50", "openai", file)
    towers, loaded = whole("RN50", weights)   # both towers, as they were trained
    loaded = start(towers, weights)           # what these towers have of them
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn

from hpc_xfer.compute.models import encoders, tower_states
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.compute.models.state_files import State, check_usable, read_state
from hpc_xfer.compute.models.tower_states import NamedTower, find_towers
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Arch, Architecture, arch_name
from hpc_xfer.config.released import open_clip_tags
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.released.weight_facts import (
    WeightFacts,
    activation_of,
    check_facts,
    fact_notes,
    facts_of_tag,
    known_facts,
    with_statement,
)
from hpc_xfer.config.released.weight_files import find_weights
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files


@dataclass(frozen=True, eq=False)
class Weights:
    """The content of a file, and what is known of it."""

    arch: Arch
    where: str  # the file or tag, for messages
    sha256: str  # of the file; of shards, of the list of theirs
    state: State
    facts: WeightFacts
    key: str | None = None  # of the weights in a file of several
    bytes: int | None = None  # of the files; None of a tag


@dataclass(frozen=True)
class LoadedWeights:
    """The parts of the weights that are used, and the rest."""

    parts: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # names, or groups such as fc.*
    notes: tuple[str, ...] = ()  # sentences: what nothing tells, or is done otherwise here


def read(arch: Arch, name: str, file: Path | ReleasedEntry | None) -> Weights:
    """Read released weights.

    Args:
        file: that the site names; without it, the name is a tag.

    Raises:
        DataError: there is no such file or tag, or it is not for this architecture.
    """
    if file is None:
        return _by_tag(arch, name)
    entry = file if isinstance(file, ReleasedEntry) else ReleasedEntry(path=str(file))
    found = find_weights(Path(entry.path))
    where = str(found.where)
    check_facts(with_statement(entry, known_facts(found)), arch, where)  # before gigabytes are read
    state, own, digests = read_state(found, entry.key)
    facts = with_statement(entry, own.before(known_facts(found)))
    check_facts(facts, arch, where)
    sha256 = digests[0] if len(digests) == 1 else _digest("\n".join(digests))
    state = tower_states.unwrapped(state)
    return Weights(arch, where, sha256, state, facts, entry.key, found.bytes)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def whole(arch: Arch, weights: Weights) -> tuple[Towers, LoadedWeights]:
    """Build the towers that were trained.

    Raises:
        DataError: the weights do not fit the architecture, or a part is missing.
    """
    clip = not _is_torchvision(arch)
    towers = encoders.build(arch, seed=0, with_text=clip)
    loaded = start(towers, weights)
    for part, name in (("text", "text tower"), ("logit_scale", "logit_scale")):
        if clip and part not in loaded.parts:
            raise DataError(
                f"{weights.where}: has no {name}, so it is not of a CLIP model; name another file"
            )
    if weights.facts.size is not None:
        towers.image_size = weights.facts.size  # `start` has tried it
    return towers, loaded


def start(towers: Towers, weights: Weights) -> LoadedWeights:
    """Load into the towers what the weights have of them; tell the parts that were loaded.

    The image tower and its normalization always are. A text tower is loaded with what belongs to
    both towers; if the file has none, these stay as they are.

    Raises:
        DataError: the weights do not fit the architecture, or are not finite.
    """
    name = arch_name(weights.arch)
    found = find_towers(weights.state, towers.visual.state_dict(), weights.where, name)
    left_out = [*found.left_out, *_fit(found.visual, towers.visual, weights, towers.image_size)]
    parts = ["visual"]
    if weights.facts.normalization is not None:
        towers.normalization = weights.facts.normalization
    _check_size(towers, weights)
    if towers.text is not None and found.text is not None:
        left_out += _fit(found.text, towers.text, weights)
        parts.append("text")
        if towers.projection is not None and found.projection is not None:
            left_out += _fit(found.projection, towers.projection, weights)
            parts.append("projection")
        for scalar, value in found.scalars.items():
            setattr(towers, scalar, _number(value, scalar, weights.where))
            parts.append(scalar)
    unused = [part for part in found.beside if part not in parts]
    return LoadedWeights(
        parts=tuple(parts),
        left_out=(*tower_states.summary(left_out), *unused),
        notes=tuple(fact_notes(weights.facts, weights.arch, weights.where)),
    )


def told(weights: Weights, towers: Towers, loaded: LoadedWeights) -> dict[str, Any]:
    """Return what the record says of weights: digest, parts, how images are fed, who says so."""
    facts, activation = weights.facts, activation_of(weights.arch)
    mean, std = towers.normalization
    of_arch = "arch"
    return {
        "sha256": weights.sha256,
        **({} if weights.bytes is None else {"bytes": weights.bytes}),
        **({} if weights.key is None else {"key": weights.key}),
        "parts": list(loaded.parts),
        "mean": list(mean),
        "std": list(std),
        "normalization_by": facts.normalization_by or of_arch,
        "image_size": towers.image_size,
        **({"trained_at": facts.size} if facts.size not in (None, towers.image_size) else {}),
        **({} if activation is None else {"activation": activation}),
        **({} if activation is None else {"activation_by": facts.activation_by or of_arch}),
        **({"left_out": list(loaded.left_out)} if loaded.left_out else {}),
        **({"notes": list(loaded.notes)} if loaded.notes else {}),
    }


def _is_torchvision(arch: Arch) -> bool:
    return isinstance(arch, str) and arch in architectures.TORCHVISION


def _fit(tower: NamedTower, module: nn.Module, weights: Weights, side: int = 0) -> list[str]:
    """Load tensors into a module; return the names of those that are left out, of heads."""
    own, where, name = module.state_dict(), weights.where, arch_name(weights.arch)
    tower.check_complete(own, where, name)
    left_out = tower.check_nothing_beyond(own, where, name)
    tower.check_shapes(own, where, name, side)
    state = {key: value for key, value in tower.state.items() if key in own}
    check_usable(state, own, where)
    module.load_state_dict(state)
    return left_out


def _number(value: Tensor, name: str, where: str) -> Tensor:
    """Return a scalar in single precision; some files keep it in a list of one."""
    if value.numel() != 1:
        raise DataError(f"{where}: {name} has {value.numel()} numbers, not one; name another file")
    check_usable({name: value}, {name: torch.zeros(())}, where)
    return value.detach().float().reshape(())


def _check_size(towers: Towers, weights: Weights) -> None:
    """Refuse an image size that the image tower does not take.

    Raises:
        DataError: with both sizes.
    """
    size = weights.facts.size
    if size is None or size == towers.image_size:
        return
    trains = towers.visual.training
    try:
        with torch.no_grad():
            towers.visual.eval()(torch.zeros(1, 3, size, size))
    except Exception:  # any error of a tower's forward pass
        raise DataError(
            f"{weights.where}: is for images of {size} pixels ({weights.facts.size_by}), arch "
            f"{arch_name(weights.arch)} takes {towers.image_size}; use another arch"
        ) from None
    finally:
        towers.visual.train(trains)


def _by_tag(arch: Arch, tag: str) -> Weights:
    if isinstance(arch, Architecture):
        raise DataError(
            f"{arch_name(arch)} is a JSON file, for which nobody released weights {tag!r}; "
            "add their file to `released` in the site file"
        )
    _check_tag(arch, tag)
    where = f"{arch} {tag}"
    settings = open_clip.get_pretrained_cfg(arch, tag)
    facts = facts_of_tag(settings)
    check_facts(facts, arch, where)
    try:
        model, _, _ = open_clip.create_model_and_transforms(arch, pretrained=tag)
        file = Path(open_clip.download_pretrained(settings))  # it is there by now
    except Exception as error:  # any error of the hub client without network
        reason = type(error).__name__
        raise DataError(
            f"{where}: cannot be loaded ({reason}); fetch it on a node with network: "
            f"{open_clip_tags.fetch_command(arch, tag)}"
        ) from error
    return Weights(arch, where, atomic_files.sha256(file), model.state_dict(), facts)


def _check_tag(arch: str, tag: str) -> None:
    known = open_clip.list_pretrained_tags_by_model(arch)
    if tag in known:
        return
    raise DataError(open_clip_tags.unknown_tag(arch, tag, known))
