"""Cells: what validation chooses from, and how each value did.

A cell is one encoder, data set, shot count and draw under one set of settings. Its values are those
of what is tuned: one run each (learning rates), or all in one run (the path of a probe).
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.results.encoder_info import EncoderKey, encoder_key
from hpc_xfer.study.plan import Plan, Run

Value = tuple[tuple[str, float], ...]  # (("lr", 0.001),): what one could choose
Metrics = Mapping[str, Any]
Record = Mapping[str, Any]
DIVERGED_VALUE = "diverged"
NOT_CONVERGED = "not converged"


def trial_recipe(run: Run) -> Finetune:
    assert isinstance(run.recipe, Finetune), f"run {run.id} is not a fine-tuning"
    return run.recipe


@dataclass(frozen=True)
class Cell:
    """All planned runs of one cell: one per tuned value, or a single one with a path."""

    trials: tuple[Run, ...]
    label: str  # mode, and settings that tell it from other cells of the mode
    dataset: str  # its name in tables, see test_sets.py
    varying: tuple[tuple[str, str], ...] = ()  # settings of which the study has several values

    @property
    def parent(self) -> Run:
        return self.trials[0].parents[0]

    @property
    def encoder(self) -> EncoderKey:
        return encoder_key(self.trials[0])

    @property
    def recipe(self) -> Finetune:
        """The recipe of any trial: all agree except in what is tuned."""
        return trial_recipe(self.trials[0])

    @property
    def seed(self) -> int | None:
        """The seed of the pre-training; None where it has none (released weights)."""
        return self.parent.spec.get("seed")

    @property
    def pool(self) -> tuple[object, ...]:
        """Key that the draws of one question share."""
        return (self.encoder, self.dataset, self.recipe.shots, self.label)


def planned_cells(plan: Plan) -> list[Cell]:
    """Group the fine-tunings of the plan into cells, in its order.

    Every setting that is not tuned is part of the key, so two values of it make two cells.
    """
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in plan.of("finetune"):
        recipe = trial_recipe(run)
        place = (encoder_key(run), recipe.dataset, recipe.shots, recipe.draw)
        groups.setdefault((*place, _frozen(_fixed(recipe, plan.tuned))), []).append(run)
    labels = _labels((runs[0] for runs in groups.values()), plan.tuned)
    varying = _varying_settings(
        [_fixed(trial_recipe(runs[0]), plan.tuned) for runs in groups.values()]
    )
    return [
        Cell(
            trials=tuple(runs),
            label=labels[runs[0].id],
            dataset=trial_recipe(runs[0]).dataset,
            varying=_values_of(varying, _fixed(trial_recipe(runs[0]), plan.tuned)),
        )
        for runs in groups.values()
    ]


def _fixed(recipe: Finetune, tuned: Collection[str]) -> dict[str, Any]:
    """All settings that the study does not tune, those that it could have tuned too."""
    could = {key: getattr(recipe, key) for key in recipe.tunable if key not in tuned}
    return recipe.settings | could


def _varying_settings(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """List per mode the settings of which its cells have several values."""
    values: dict[str, dict[str, set[str]]] = {}
    for each in settings:
        for key, value in each.items():
            values.setdefault(str(each["mode"]), {}).setdefault(key, set()).add(_said(value))
    return {
        mode: [key for key, found in settings.items() if len(found) > 1]
        for mode, settings in values.items()
    }


def _values_of(
    varying: Mapping[str, Sequence[str]], settings: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    keys = varying[str(settings["mode"])]
    return tuple((key, _said(settings[key])) for key in keys if key in settings)


@dataclass(frozen=True)
class Measured:
    """One value of a cell, as its run measured it."""

    run: Run
    place: int | None  # on the path of the run; None where the run has a single value
    record: Record

    def metric(self, name: str) -> float | None:
        """A metric of this value; None where the run did not measure it."""
        if self.place is not None and name in self.record["path"]:
            return float(self.record["path"][name][self.place])
        found = self.record["metrics"].get(name)
        return found if isinstance(found, int | float) else None


@dataclass(frozen=True)
class Outcome:
    """A cell whose runs are all finished or lost, with what each value measured."""

    cell: Cell
    measured: Mapping[Value, Measured]
    lost: Mapping[Value, str] = field(default_factory=dict)  # diverged | not converged


def outcome(
    cell: Cell,
    tuned: Sequence[str],
    records: Mapping[str, Record],
    diverged: Collection[str] = (),
) -> Outcome | None:
    """Read what a cell measured; None while a run is missing.

    A choice among fewer values would compare pre-trainings by unequal grids. A run that diverged
    and a probe that did not converge have no accuracy to compare.
    """
    measured: dict[Value, Measured] = {}
    lost: dict[Value, str] = {}
    for run in cell.trials:
        if run.id in records:
            for value, found in _values(run, tuned, records[run.id]):
                if found is None:
                    lost[value] = NOT_CONVERGED
                else:
                    measured[value] = found
        elif run.id in diverged:
            lost[_value_of(run, tuned)] = DIVERGED_VALUE
        else:
            return None
    return Outcome(cell, measured, lost)


def _values(run: Run, tuned: Sequence[str], record: Record) -> list[tuple[Value, Measured | None]]:
    """List the values of a run; None for one that did not converge."""
    path = record.get("path")
    if path is None:
        return [(_value_of(run, tuned), Measured(run, None, record))]
    converged = path.get("converged") or [True] * len(path["values"])
    return [
        (((str(path["key"]), float(value)),), Measured(run, i, record) if converged[i] else None)
        for i, value in enumerate(path["values"])
    ]


def _value_of(run: Run, tuned: Sequence[str]) -> Value:
    recipe = trial_recipe(run)
    return tuple((key, getattr(recipe, key)) for key in tuned if key in recipe.tunable)


def _frozen(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _labels(runs: Iterable[Run], tuned: Collection[str]) -> dict[str, str]:
    """Run id -> mode, with the settings that tell cells of one mode, data set and shots apart."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        recipe = trial_recipe(run)
        place = (encoder_key(run), recipe.dataset, recipe.shots, recipe.draw, recipe.mode)
        groups.setdefault(place, []).append(run)
    differ: dict[str, dict[str, None]] = {}
    for (*_, mode), alike in groups.items():
        keys = _differing([_fixed(trial_recipe(run), tuned) for run in alike])
        differ.setdefault(str(mode), {}).update(dict.fromkeys(keys))
    return {
        run.id: _label(_fixed(trial_recipe(run), tuned), list(differ[str(mode)]))
        for (*_, mode), alike in groups.items()
        for run in alike
    }


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the settings that tell them apart: those that all have, if these are enough."""
    common = set.intersection(*(set(each) for each in settings))
    everything = {key for each in settings for key in each}
    for keys in (common, everything):
        found = [k for k in sorted(keys) if len({_frozen({k: s.get(k)}) for s in settings}) > 1]
        apart = {_frozen({key: each.get(key) for key in found}) for each in settings}
        if len(apart) == len(settings):
            return found
    return found


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _label(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    words = [
        str(settings[key]) if key == "solver" else f"{key}={_said(settings[key])}"
        for key in sorted(keys, key=lambda key: (key != "solver", key))
        if settings.get(key) is not None
    ]
    paper = ["(paper protocol: chosen on test)"] if settings.get("select") == "test" else []
    return " ".join([str(settings["mode"]), *words, *paper])
