"""Expand `finetune` blocks to trials: data sets x modes x shots x draws x tuned values."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from hpc_xfer.config.recipes import TUNABLE, Finetune, Shots
from hpc_xfer.config.resources import by_shots
from hpc_xfer.config.schema import (
    ConfigError,
    PositiveInt,
    StrictModel,
    format_value,
    nearest,
    validate,
)
from hpc_xfer.config.yaml_document import Loc
from hpc_xfer.study.pretrain_grid import too_many


class _Axes(StrictModel):
    """The keys of `finetune` that are axes; all others are settings of each trial."""

    datasets: list[str] = Field(min_length=1)
    shots: list[Shots] = Field(min_length=1)
    draws: PositiveInt | dict[str, PositiveInt] = 3
    mode: list[str] = ["ft"]
    tune: dict[str, list[Any]] = {}


_BY_SHOTS = ("epochs", "batch", "lr", "weight_decay", "warmup_steps")


def all_trials(blocks: Any) -> tuple[list[Finetune], tuple[str, ...], list[ConfigError]]:
    """Expand `finetune`, which is one block or a list of blocks."""
    if blocks is None:
        return [], (), []
    listed = isinstance(blocks, list)
    trials: dict[str, Finetune] = {}
    tuned: dict[str, None] = {}
    wrong: list[ConfigError] = []
    for i, block in enumerate(blocks if listed else [blocks]):
        place: Loc = ("finetune", i) if listed else ("finetune",)
        if not isinstance(block, dict):
            wrong.append((place, f"must be a mapping, got {format_value(block)}"))
            continue
        found, keys, bad = _trials(block)
        wrong += [((*place, *loc), why) for loc, why in bad]
        tuned |= dict.fromkeys(keys)
        named = {trial.model_dump_json(): trial for trial in found}
        if trials.keys() & named.keys():
            wrong.append((place, "makes trials that an earlier block makes too; remove them here"))
        trials |= named
    return list(trials.values()), tuple(tuned), wrong


def _trials(block: dict[str, Any]) -> tuple[list[Finetune], tuple[str, ...], list[ConfigError]]:
    """Expand one block; also return the tuned keys and the errors."""
    axes, wrong = validate(_Axes, {k: v for k, v in block.items() if k in _Axes.model_fields})
    settings = {key: value for key, value in block.items() if key not in _Axes.model_fields}
    wrong += [*_unknown_settings(settings), *_lists_among(settings)]
    settings = {key: value for key, value in settings.items() if (key,) not in dict(wrong)}
    if axes is None:
        return [], (), wrong
    bad_axes = [*_repeated(axes), *_badly_tuned(axes, settings), *_missing_shots(axes, settings)]
    bad_axes = bad_axes or too_many(_count(axes), ())
    if bad_axes:
        return [], (), wrong + bad_axes
    trials: list[Finetune] = []
    errors = dict.fromkeys(wrong)  # every trial repeats the errors of the settings
    for place, values in _expand(axes, settings):
        trial, bad = validate(Finetune, values)
        if trial is not None:
            trials.append(trial)
        for loc, why in bad:
            here = (*place.get(str(loc[0]), loc[:1]), *loc[1:]) if loc else ()
            errors[(here, why)] = None
    return trials, tuple(axes.tune), list(errors)


def _unknown_settings(settings: Mapping[str, Any]) -> Iterator[ConfigError]:
    spanned = {"dataset", "shots", "draw", "mode", "snapshot"}
    keys = (set(Finetune.model_fields) - spanned) | set(_Axes.model_fields)
    for key in settings:
        if key == "snapshot":
            yield (key,), "follows from the `snapshots` of each pre-training; remove it here"
        elif key not in keys:
            yield (key,), f"unknown key; {nearest(key, keys, 'the keys here are')}"


def _lists_among(settings: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Refuse settings that are lists: a trial has one value."""
    for key, value in settings.items():
        if isinstance(value, list) and key in Finetune.model_fields:
            way = f"write `tune: {{{key}: ...}}`" if key in TUNABLE else "write two blocks"
            yield (
                (key,),
                f"must be one value per block, got {format_value(value)}; to compare several, "
                f"{way}",
            )


def _count(axes: _Axes) -> int:
    draws = sum(by_shots(axes.draws, shots) for shots in axes.shots)
    per_draw = len(axes.datasets) * len(axes.mode) * math.prod(map(len, axes.tune.values()))
    return int(draws * per_draw)


def _repeated(axes: _Axes) -> Iterator[ConfigError]:
    lists: dict[str, list[Any]] = {
        "datasets": axes.datasets,
        "shots": axes.shots,
        "mode": axes.mode,
    }
    lists.update({f"tune.{key}": values for key, values in axes.tune.items()})
    for name, values in lists.items():
        for value in values:
            if values.count(value) > 1:
                yield tuple(name.split(".")), f"has {format_value(value)} twice; keep one"


def _badly_tuned(axes: _Axes, settings: Mapping[str, Any]) -> Iterator[ConfigError]:
    for key, values in axes.tune.items():
        if key not in TUNABLE:
            hint = nearest(key, TUNABLE, "the keys that can be tuned are")
            yield ("tune", key), f"cannot be tuned; {hint}"
        elif not values:
            yield ("tune", key), "has no value, which leaves no choice; give two or more"
        elif len(values) == 1:
            way = f"write `{key}: {format_value(values[0])}` instead"
            yield ("tune", key), f"has one value, which leaves no choice; {way}"
        elif key in settings:
            yield (key,), f"is tuned in tune.{key} already; keep one of the two"
    if "lr" not in axes.tune and "lr" not in settings:
        yield (), "has no learning rate; add `tune: {lr: [1e-4, 3e-4, 1e-3, 3e-3]}` or `lr: ...`"


def _missing_shots(axes: _Axes, settings: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Refuse mappings by shots that lack one of the block's shots."""
    given = {"draws": axes.draws, **{key: settings.get(key) for key in _BY_SHOTS}}
    for key, value in given.items():
        if isinstance(value, Mapping):
            for shots in axes.shots:
                if str(shots) not in value:
                    yield (key,), f"has no value for {shots} shots; add `{shots}: ...`"


def _expand(
    axes: _Axes, settings: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Loc], dict[str, Any]]]:
    """Yield each trial's values, with the key paths of those that axes gave."""
    tuned = [
        [(("tune", key, i), key, v) for i, v in enumerate(vs)] for key, vs in axes.tune.items()
    ]
    by_shots_given = [k for k, v in settings.items() if k in _BY_SHOTS and isinstance(v, Mapping)]
    for (d, dataset), (m, mode), (s, shots) in itertools.product(
        enumerate(axes.datasets), enumerate(axes.mode), enumerate(axes.shots)
    ):
        place: dict[str, Loc] = {
            "dataset": ("datasets", d),
            "mode": ("mode", m),
            "shots": ("shots", s),
            **{key: (key, str(shots)) for key in by_shots_given},
        }
        fixed = {
            key: by_shots(value, shots) if key in _BY_SHOTS else value
            for key, value in settings.items()
        }
        for draw in range(by_shots(axes.draws, shots)):
            for choice in itertools.product(*tuned):
                picked = {key: value for _, key, value in choice}
                places = place | {key: loc for loc, key, _ in choice}
                yield places, {
                    "dataset": dataset, "mode": mode, "shots": shots, "draw": draw,
                    **fixed, **picked,
                }  # fmt: skip
