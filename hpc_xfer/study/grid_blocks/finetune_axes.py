"""Read the axes of a `finetune` block, and check its settings against its modes."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field

from hpc_xfer.config.finetune_recipes import MODES, SOLVERS, Finetune, Shots, finetune_class
from hpc_xfer.config.protocols import Protocol
from hpc_xfer.config.recipes import METHODS
from hpc_xfer.config.resources import by_shots, not_shots
from hpc_xfer.config.schema import (
    ConfigError,
    PositiveInt,
    StrictModel,
    format_value,
    nearest,
    validate,
)
from hpc_xfer.study.grid_blocks.grid_size import too_many

BY_SHOTS = ("epochs", "batch", "lr", "weight_decay", "warmup_steps", "min_steps")
_SPANNED = {"dataset", "shots", "draw", "mode", "snapshot", "solver"}
OF_PRETRAIN = {key for model in METHODS.values() for key in model.model_fields} - {"method"}
OLDER = {"recalibrate": "batch_norm"}  # keys of version 0.1, read under its protocol


class FinetuneAxes(StrictModel):
    """The keys of `finetune` that are axes; all others are settings of each trial."""

    datasets: list[str] = Field(min_length=1)
    shots: list[Shots] = Field(min_length=1)
    draws: PositiveInt | dict[str, PositiveInt] = 3
    mode: list[str] = ["ft"]
    solver: str | None = None  # of mode lp
    tune: dict[str, list[Any]] = {}
    parents: list[str] | None = Field(default=None, min_length=1)  # names of blocks; None: all


def read_axes(
    block: dict[str, Any], protocol: Protocol
) -> tuple[FinetuneAxes | None, dict[str, Any], list[ConfigError]]:
    """Return the axes of a block (None where they are wrong), its settings, and the errors."""
    axes, wrong = validate(
        FinetuneAxes,
        {
            key: value
            for key, value in block.items()
            if key in FinetuneAxes.model_fields and (key, value) != ("tune", None)
        },
    )
    settings = {key: value for key, value in block.items() if key not in FinetuneAxes.model_fields}
    if axes is None or (bad := [*_wrong_modes(axes, protocol)]):
        wrong += [*_settings_of_no_mode(settings)] if axes is None else bad
        return None, settings, wrong
    if "recalibrate" in settings and protocol.solver == "adamw":
        on = settings.pop("recalibrate")
        settings["batch_norm"] = {True: "recalibrate", False: "train"}.get(on, on)
    wrong += [*_misplaced(settings, axes, protocol), *_lists_among(settings)]
    is_told = "lr" in settings  # and wrong, where no learning rate is left
    settings = {key: value for key, value in settings.items() if (key,) not in dict(wrong)}
    bad_axes = [*_repeated(axes), *_missing_shots(axes, settings)]
    bad_axes += _badly_tuned(axes, settings, protocol)
    bad_axes = bad_axes or too_many(_count(axes), ())
    no_lr = [*_no_learning_rate(axes, settings, protocol)]
    wrong += [*bad_axes, *([] if is_told else no_lr)]
    return (None if bad_axes or no_lr else axes), settings, wrong


def classes_of(axes: FinetuneAxes, protocol: Protocol) -> dict[str, type[Finetune]]:
    """Map each mode of a block to its recipe class."""
    return {mode: finetune_class(mode, axes.solver or protocol.solver) for mode in axes.mode}


def _wrong_modes(axes: FinetuneAxes, protocol: Protocol) -> Iterator[ConfigError]:
    known = protocol.modes or MODES
    for i, mode in enumerate(axes.mode):
        if mode not in MODES:
            yield ("mode", i), f"unknown mode {mode!r}; {nearest(mode, MODES, 'the modes are')}"
        elif mode not in known:
            yield ("mode", i), f"this protocol has no {mode}; its modes are {', '.join(known)}"
    if axes.solver is not None and axes.solver not in SOLVERS:
        hint = nearest(axes.solver, SOLVERS, "the solvers are")
        yield ("solver",), f"unknown solver {axes.solver!r}; {hint}"
    elif axes.solver is not None and "lp" not in axes.mode:
        yield ("solver",), "belongs to mode lp, which this block has not; remove it"


def all_settings() -> dict[str, list[str]]:
    """Setting -> the modes (and solvers) that have it."""
    found: dict[str, list[str]] = {}
    for mode in MODES:
        for solver in SOLVERS if mode == "lp" else ("",):
            cls = finetune_class(mode, solver or "logistic")
            for key in set(cls.model_fields) - _SPANNED:
                found.setdefault(key, []).append(f"{mode} with solver {solver}" if solver else mode)
    return found


def _settings_of_no_mode(settings: Mapping[str, Any]) -> Iterator[ConfigError]:
    known = all_settings()
    for key in settings:
        if key == "snapshot":
            yield (key,), "follows from the `snapshots` of each pre-training; remove it here"
        elif key in OLDER:
            yield (key,), f"is called {OLDER[key]} now; write `{OLDER[key]}: recalibrate`"
        elif key not in known and key in OF_PRETRAIN:
            yield (key,), "is a key of pretrain; write it there, or remove it"
        elif key not in known:
            keys = known.keys() | FinetuneAxes.model_fields.keys()
            yield (key,), f"unknown key; {nearest(key, keys, 'the keys here are')}"


def _misplaced(
    settings: Mapping[str, Any], axes: FinetuneAxes, protocol: Protocol
) -> Iterator[ConfigError]:
    """Refuse keys that no mode of the block has; nothing that is written goes unused."""
    unknown = dict(_settings_of_no_mode(settings))
    yield from unknown.items()
    classes, known = classes_of(axes, protocol), all_settings()
    for key in settings:
        if (key,) not in unknown and all(key not in cls.model_fields for cls in classes.values()):
            here = " and ".join(classes)
            yield (key,), f"is not a setting of {here}, but of {', '.join(known[key])}; remove it"


def _lists_among(settings: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Refuse settings that are lists: a trial has one value."""
    for key, value in settings.items():
        if isinstance(value, list) and key != "neighbors":
            way = f"write `tune: {{{key}: ...}}`" if key in _tunable() else "write two blocks"
            yield (
                (key,),
                f"must be one value per block, got {format_value(value)}; to compare several, "
                f"{way}",
            )


def _tunable() -> tuple[str, ...]:
    return finetune_class("ft").tunable


def _count(axes: FinetuneAxes) -> int:
    draws = sum(by_shots(axes.draws, shots) for shots in axes.shots)
    per_draw = len(axes.datasets) * len(axes.mode) * math.prod(map(len, axes.tune.values()))
    return int(draws * per_draw)


def _repeated(axes: FinetuneAxes) -> Iterator[ConfigError]:
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


def _badly_tuned(
    axes: FinetuneAxes, settings: Mapping[str, Any], protocol: Protocol
) -> Iterator[ConfigError]:
    classes = classes_of(axes, protocol)
    trained = [mode for mode, cls in classes.items() if cls.tunable]
    for key, values in axes.tune.items():
        if key not in _tunable():
            hint = nearest(key, _tunable(), "the keys that can be tuned are")
            yield ("tune", key), f"cannot be tuned; {hint}"
        elif not trained:
            modes = " and ".join(axes.mode)
            yield ("tune", key), f"is not a setting of {modes}, which needs no tuning; remove it"
        elif not values:
            yield ("tune", key), "has no value, which leaves no choice; give two or more"
        elif len(values) == 1:
            way = f"write `{key}: {format_value(values[0])}` instead"
            yield ("tune", key), f"has one value, which leaves no choice; {way}"
        elif key in settings:
            yield (key,), f"is tuned in tune.{key} already; keep one of the two"
        elif settings.get("validation") == "none":
            yield ("tune", key), f"needs a validation to choose by; write `{key}: ...`, one value"


def _no_learning_rate(
    axes: FinetuneAxes, settings: Mapping[str, Any], protocol: Protocol
) -> Iterator[ConfigError]:
    """Refuse a block that trains without one; a key that cannot be tuned may have been meant."""
    is_trained = any(cls.tunable for cls in classes_of(axes, protocol).values())
    has_lr = "lr" in settings or "lr" in axes.tune
    if is_trained and not has_lr and set(axes.tune) <= set(_tunable()):
        yield (), "has no learning rate; add `tune: {lr: [1e-4, 3e-4, 1e-3, 3e-3]}` or `lr: ...`"


def _missing_shots(axes: FinetuneAxes, settings: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Refuse mappings by shots that lack one of the block's shots, or have what is none."""
    given = {"draws": axes.draws, **{key: settings.get(key) for key in BY_SHOTS}}
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from (((key, *loc), why) for loc, why in wrong_by_shots(value, axes.shots))


def wrong_by_shots(given: Mapping[str, Any], shots: Iterable[Any]) -> Iterator[ConfigError]:
    """Refuse keys that are no shots, else the lack of some."""
    odd = not_shots(given)
    yield from (((key,), "is no number of shots; write one, or full") for key in odd)
    for one in () if odd else map(str, shots):
        if one not in given:
            yield (), f"has no value for {one} shots; add `{one}: ...`"
