"""Hold the state of a checkpoint against the training that is to go on from it.

    why_unfit(saved, stepper, steps)     # -> "its objective has other tensors", or None

Another version of this program may have written it, or somebody else who may write to the store.
torch copies tensors until it meets one that does not fit, and looks at no state of an optimizer; so
all is compared before anything is loaded.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.training.skipped_samples import BrokenSamples
from hpc_xfer.compute.training.step import Stepper

_MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW
_PARTS = ("param_groups", "state")  # of the state of an optimizer
_LARGEST = 2**53  # number; a float holds each whole number up to it
_PLAIN = (bool, int, float, tuple)  # types of an optimizer's settings that are compared


def why_unfit(saved: Mapping[str, Any], stepper: Stepper, steps: int) -> str | None:
    """Say why a training of so many steps cannot go on from this state; None if it can."""
    if (
        not _is_count(saved.get("step"), steps)
        or saved["step"] == 0
        or not _is_course(saved, steps)
    ):
        return "it lacks what a training has"
    if not _same_tensors(saved.get("objective"), stepper.objective.state_dict()):
        return "its model has other tensors"
    if not _fits_optimizer(saved.get("optimizer"), stepper.optimizer):
        return "its optimizer is another"
    if not _same_settings(saved.get("scaler", {}), stepper.scaler.state_dict()):
        return "its scaling is another"
    return None


def own_losses(saved: dict[str, Any], world: World) -> list[float]:
    """Return the last losses of this rank; their means over the ranks if there were more or fewer.

    Checkpoints of older versions have one mean per rank.
    """
    ranks: list[list[float]] = saved.get("recent_losses") or [[loss] for loss in saved["losses"]]
    if len(ranks) == world.size:
        return ranks[world.rank]
    shortest = min(map(len, ranks))  # under fp16 a rank may lack losses that were not finite
    last = (losses[len(losses) - shortest :] for losses in ranks)
    return [sum(each) / len(each) for each in zip(*last, strict=True)]


def _is_count(value: Any, most: int = _LARGEST) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= _LARGEST)


def _is_time(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and bool(value >= 0)


def _is_course(saved: Mapping[str, Any], steps: int) -> bool:
    """Tell if losses, ranks, broken samples and times are what the loop saves."""
    worlds, broken = saved.get("worlds"), saved.get("broken")
    return (
        all(_is_time(saved.get(name)) for name in ("seconds", "waited"))
        and isinstance(worlds, list)
        and len(worlds) > 0
        and all(_is_world(world, steps) for world in worlds)
        and isinstance(broken, dict)
        and broken.keys() <= {field.name for field in fields(BrokenSamples)}
        and _are_broken(broken)
        and _are_losses(saved)
    )


def _is_world(world: Any, steps: int) -> bool:
    match world:
        case [first, size]:
            return _is_count(first, steps) and _is_count(size) and size > 0
    return False


def _are_broken(broken: Mapping[str, Any]) -> bool:
    shards, examples = broken.get("shards", {}), broken.get("examples", [])
    return (
        isinstance(shards, dict)
        and all(isinstance(name, str) and _is_count(count) for name, count in shards.items())
        and isinstance(examples, list)
        and all(isinstance(example, str) for example in examples)
    )


def _are_losses(saved: Mapping[str, Any]) -> bool:
    """Tell if there are last losses of each rank, or of older versions one mean of each."""
    ranks, means = saved.get("recent_losses"), saved.get("losses")
    found = ranks or ([[mean] for mean in means] if isinstance(means, list) else None)
    return (
        isinstance(found, list)
        and len(found) > 0
        and all(isinstance(rank, list) and all(map(_is_number, rank)) for rank in found)
    )


def _same_tensors(saved: Any, own: Mapping[str, Any]) -> bool:
    return (
        isinstance(saved, Mapping)
        and saved.keys() == own.keys()
        and all(_is_like(saved[name], value) for name, value in own.items())
    )


def _is_like(saved: Any, own: Any) -> bool:
    if not isinstance(own, Tensor):  # a state that is no tensor, as a module may have
        return type(saved) is type(own)
    return (
        isinstance(saved, Tensor)
        and saved.shape == own.shape
        and saved.dtype == own.dtype
        and saved.layout == torch.strided
        and not saved.is_meta
    )


def _fits_optimizer(saved: Any, own: Optimizer) -> bool:
    groups, state = (saved.get(n) if isinstance(saved, dict) else None for n in _PARTS)
    if not isinstance(groups, list) or not isinstance(state, dict):
        return False
    if len(groups) != len(own.param_groups) or not all(isinstance(each, dict) for each in groups):
        return False
    parameters = [parameter for group in own.param_groups for parameter in group["params"]]
    number = 0
    for theirs, ours in zip(groups, own.param_groups, strict=True):
        count = len(ours["params"])
        if theirs.get("params") != [*range(number, number + count)]:
            return False
        number += count
        if not _same_settings(theirs, {k: v for k, v in ours.items() if type(v) in _PLAIN}):
            return False
    return state.keys() <= {*range(number)} and all(
        _fits_parameter(state[i], parameters[i]) for i in state
    )


def _fits_parameter(saved: Any, parameter: Tensor) -> bool:
    return (
        isinstance(saved, dict)
        and saved.keys() == {"step", *_MOMENTS}
        and all(_is_like(saved[name], parameter) for name in _MOMENTS)
        and isinstance(saved["step"], Tensor)
        and saved["step"].numel() == 1
    )


def _same_settings(saved: Any, own: Mapping[str, Any]) -> bool:
    """Tell if numbers have the same names and types; their values may change in a training.

    An older torch saved fewer flags, for which torch has its defaults.
    """
    return isinstance(saved, dict) and all(
        isinstance(saved.get(name, value), bool)
        if isinstance(value, bool)
        else _is_setting(saved.get(name), value)
        for name, value in own.items()
    )


def _is_setting(saved: Any, own: float | tuple[float, ...]) -> bool:
    if not isinstance(own, tuple):
        return _is_number(saved)
    are_several = isinstance(saved, tuple | list) and len(saved) == len(own)
    return are_several and all(map(_is_number, saved))
