"""Expand `finetune` blocks to runs: data sets x modes x shots x draws x tuned values.

finetune_axes.py reads and checks the axes of a block.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from hpc_xfer.config.finetune_recipes import Finetune, ZeroShot
from hpc_xfer.config.protocols import PROTOCOLS, Protocol
from hpc_xfer.config.resources import by_shots
from hpc_xfer.config.schema import ConfigError, format_value, nearest, validate
from hpc_xfer.config.yaml_document import Loc
from hpc_xfer.study.grid_blocks.finetune_axes import BY_SHOTS, FinetuneAxes, classes_of, read_axes


class AllTrials(NamedTuple):
    """The trials of all blocks, without the pre-trainings that they start from."""

    trials: list[Finetune]
    tuned: tuple[str, ...]
    errors: list[ConfigError]
    parents: list[frozenset[str] | None]  # names of blocks, for each trial; None: all blocks


def all_trials(blocks: Any, protocol: str = "standard") -> AllTrials:
    """Expand `finetune`, which is one block or a list of blocks."""
    if blocks is None:
        return AllTrials([], (), [], [])
    listed = isinstance(blocks, list)
    trials: dict[str, Finetune] = {}
    parents: dict[str, frozenset[str] | None] = {}
    tuned: dict[str, None] = {}
    wrong: list[ConfigError] = []
    for i, block in enumerate(blocks if listed else [blocks]):
        place: Loc = ("finetune", i) if listed else ("finetune",)
        if not isinstance(block, dict):
            way = "write {datasets: ..., shots: ...}"
            wrong.append((place, f"must be a mapping, got {format_value(block)}; {way}"))
            continue
        found, keys, bad = _trials(block, PROTOCOLS[protocol])
        wrong += [((*place, *loc), why) for loc, why in bad]
        tuned |= dict.fromkeys(keys)
        named = {trial.model_dump_json(): trial for trial in found}
        mine = _parents(block)
        repeated = [trials[name] for name in trials.keys() & named.keys()
                    if _overlap(parents[name], mine)]  # fmt: skip
        if any(not isinstance(trial, ZeroShot) for trial in repeated):
            wrong.append((place, "makes trials that an earlier block makes too; remove them here"))
        parents |= {name: _together(parents.get(name, mine), mine) for name in named}
        trials |= named
    return AllTrials(list(trials.values()), tuple(tuned), wrong, list(parents.values()))


def _parents(block: Mapping[str, Any]) -> frozenset[str] | None:
    names = block.get("parents")
    return frozenset(map(str, names)) if isinstance(names, list) else None


def _overlap(one: frozenset[str] | None, two: frozenset[str] | None) -> bool:
    return one is None or two is None or bool(one & two)


def _together(one: frozenset[str] | None, two: frozenset[str] | None) -> frozenset[str] | None:
    return None if one is None or two is None else one | two


def trial_blocks(
    blocks: Any, parents: Iterable[frozenset[str] | None], names: Mapping[str, int]
) -> tuple[tuple[frozenset[int] | None, ...], list[ConfigError]]:
    """Return the numbers of the `pretrain` blocks that each trial starts from; refuse odd names.

    Args:
        blocks: `finetune`.
        names: of the `pretrain` blocks.
    """
    errors: list[ConfigError] = []
    listed = isinstance(blocks, list)
    for i, block in enumerate(blocks if listed else [blocks]):
        given = block.get("parents") if isinstance(block, dict) else None
        asked = given if isinstance(given, list) else []
        for place, name in enumerate(asked):
            loc: Loc = (*(("finetune", i) if listed else ("finetune",)), "parents", place)
            if isinstance(name, str) and name not in names:
                known = nearest(name, names, "the names are")
                way = known if names else "no block has a name; write `name: ...` in it"
                errors.append((loc, f"no pretrain block is called {format_value(name)}; {way}"))
            elif name in asked[:place]:
                errors.append((loc, f"duplicate name {format_value(name)}; remove one"))
    found = (
        None if each is None else frozenset(names[name] for name in each if name in names)
        for each in parents
    )
    return tuple(found), errors


def _trials(
    block: dict[str, Any], protocol: Protocol
) -> tuple[list[Finetune], tuple[str, ...], list[ConfigError]]:
    """Expand one block; also return the tuned keys and the errors."""
    axes, settings, wrong = read_axes(block, protocol)
    if axes is None:
        return [], (), wrong
    trials: dict[str, Finetune] = {}
    errors = dict.fromkeys(wrong)  # every trial repeats the errors of the settings
    for cls, place, values in _expand(axes, settings, protocol):
        trial, bad = validate(cls, values)
        if trial is not None:
            trials[trial.model_dump_json()] = trial
        for loc, why in bad:
            here = (*place.get(str(loc[0]), loc[:1]), *loc[1:]) if loc else ()
            errors[(here, why)] = None
    return list(trials.values()), _chosen_keys(trials.values(), axes), list(errors)


def _chosen_keys(trials: Iterable[Finetune], axes: FinetuneAxes) -> tuple[str, ...]:
    """List the settings that validation chooses, tuned ones first."""
    paths = [t.path_key for t in trials if t.path_key is not None and t.value is None]
    return (*axes.tune, *dict.fromkeys(paths))


def _expand(
    axes: FinetuneAxes, settings: Mapping[str, Any], protocol: Protocol
) -> Iterator[tuple[type[Finetune], dict[str, Loc], dict[str, Any]]]:
    """Yield each trial's class and values, with the key paths of those that axes gave."""
    classes = classes_of(axes, protocol)
    by_shots_given = [k for k, v in settings.items() if k in BY_SHOTS and isinstance(v, Mapping)]
    for (d, dataset), (m, mode), (s, shots) in itertools.product(
        enumerate(axes.datasets), enumerate(axes.mode), enumerate(axes.shots)
    ):
        cls = classes[mode]
        place: dict[str, Loc] = {
            "dataset": ("datasets", d),
            "mode": ("mode", m),
            "shots": ("shots", s),
            **{key: (key, str(shots)) for key in by_shots_given},
        }
        fixed = dict(protocol.settings) | {
            key: by_shots(value, shots) if key in BY_SHOTS else value
            for key, value in settings.items()
        }
        fixed["validation"] = fixed.get("validation", "few")
        fixed = {key: value for key, value in fixed.items() if key in cls.model_fields}
        here = {"dataset": dataset, "mode": mode}
        if cls is ZeroShot:
            yield cls, place, here
            continue
        for draw, (chosen, places) in itertools.product(
            range(draws_of(cls, axes, shots)), _tuned(cls, axes)
        ):
            values = {**here, "shots": shots, "draw": draw, **fixed, **chosen}
            yield cls, place | places, values


def draws_of(cls: type[Finetune], axes: FinetuneAxes, shots: int | str) -> int:
    """Count draws; at `full` all draws of a probe would train on the same images: one is enough."""
    if shots == "full" and cls.path_key is not None:
        return 1
    return int(by_shots(axes.draws, shots))


def _tuned(
    cls: type[Finetune], axes: FinetuneAxes
) -> Iterator[tuple[dict[str, Any], dict[str, Loc]]]:
    """Yield each combination of tuned values, with key paths; one empty where nothing is tuned."""
    lists = [
        [(key, i, value) for i, value in enumerate(values)]
        for key, values in axes.tune.items()
        if key in cls.tunable
    ]
    for choice in itertools.product(*lists):
        values = {key: value for key, _, value in choice}
        yield values, {key: ("tune", key, i) for key, i, _ in choice}
