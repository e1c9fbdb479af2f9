"""Cells: what validation chooses from, and how each value did.

A cell is one encoder, data set, shot count and draw under one set of settings. Its values are those
of what is tuned: one run each (learning rates), or all in one run (the path of a probe).
"""

import functools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.results.encoder_info import EncoderKey, encoder_key
from hpc_xfer.study.plan import Run

Value = tuple[tuple[str, float], ...]  # (("lr", 0.001),): what one could choose
Metrics = Mapping[str, Any]
Record = Mapping[str, Any]
Settings = Mapping[str, Any]
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


@dataclass(frozen=True)
class SettingNames:
    """The settings of fine-tunings that a study varies, by mode."""

    tuned: tuple[str, ...]
    differing: Mapping[str, Sequence[str]]  # tell apart cells of one encoder, data set and draw
    varying: Mapping[str, Sequence[str]]  # have several values anywhere in the study


def cells_of(runs: Iterable[Run], names: SettingNames) -> list[Cell]:
    """Group fine-tunings into cells, in their order.

    Every setting that is not tuned is part of the key, so two values of it make two cells.

    Args:
        runs: all of one encoder, data set and shot count, or of several.
        names: what `setting_names` says of the whole study.
    """
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        recipe = trial_recipe(run)
        place = (encoder_key(run), recipe.dataset, recipe.shots, recipe.draw)
        groups.setdefault((*place, _settings(recipe, names.tuned)[1]), []).append(run)
    return [_cell(tuple(trials), names) for trials in groups.values()]


def _cell(trials: tuple[Run, ...], names: SettingNames) -> Cell:
    recipe = trial_recipe(trials[0])
    settings = _settings(recipe, names.tuned)[0]
    varying = names.varying.get(recipe.mode, ())
    return Cell(
        trials=trials,
        label=_label(recipe, names.tuned, tuple(names.differing.get(recipe.mode, ()))),
        dataset=recipe.dataset,
        varying=tuple((key, _said(settings[key])) for key in varying if key in settings),
    )


def setting_names(runs: Iterable[Run], tuned: Sequence[str]) -> SettingNames:
    """Name the settings that vary. All encoders get the same trials, so each is looked at once."""
    own = tuple(tuned)
    groups: dict[tuple[object, ...], dict[str, Settings]] = {}
    for recipe in {id(run.recipe): trial_recipe(run) for run in runs}.values():
        place = (recipe.dataset, recipe.shots, recipe.draw, recipe.mode)
        settings, text = _settings(recipe, own)
        groups.setdefault(place, {})[text] = settings
    differ: dict[str, dict[str, None]] = {}
    values: dict[str, dict[str, set[str]]] = {}
    for (*_, mode), alike in groups.items():
        keys = _differing(list(alike.values()))
        differ.setdefault(str(mode), {}).update(dict.fromkeys(keys))
        for settings in alike.values():
            for key, value in settings.items():
                values.setdefault(str(mode), {}).setdefault(key, set()).add(_said(value))
    return SettingNames(
        tuned=own,
        differing={mode: list(keys) for mode, keys in differ.items()},
        varying={
            mode: [key for key, found in settings.items() if len(found) > 1]
            for mode, settings in values.items()
        },
    )


@functools.cache
def _settings(recipe: Finetune, tuned: tuple[str, ...]) -> tuple[Settings, str]:
    """All settings that the study does not tune, and their text; encoders share trials."""
    could = {key: getattr(recipe, key) for key in recipe.tunable if key not in tuned}
    settings = recipe.settings | could
    return settings, _frozen(settings)


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None


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
        return _number(self.record["metrics"].get(name))


@dataclass(frozen=True)
class Outcome:
    """A cell whose runs are all finished or lost, with what each value measured."""

    cell: Cell
    finished: Sequence[tuple[Run, Record]]
    measured: Mapping[Value, int]  # place on the path of its one run, or place in `finished`
    lost: Mapping[Value, str] = field(default_factory=dict)  # diverged | not converged
    has_path: bool = False

    def at(self, value: Value) -> Measured:
        """The value with the record that measured it."""
        place = self.measured[value]
        run, record = self.finished[0 if self.has_path else place]
        return Measured(run, place if self.has_path else None, record)

    def metric(self, name: str) -> dict[Value, float | None]:
        """A metric of all values."""
        if self.has_path:
            column = self.finished[0][1]["path"].get(name)
            if column is not None and len(column) == len(self.measured):
                return dict(zip(self.measured, column, strict=True))
            if column is not None:
                return {value: column[place] for value, place in self.measured.items()}
            one = _number(self.finished[0][1]["metrics"].get(name))
            return dict.fromkeys(self.measured, one)
        found = [_number(record["metrics"].get(name)) for _, record in self.finished]
        return {value: found[place] for value, place in self.measured.items()}

    def tried(self, key: str) -> tuple[float, ...]:
        """List the values of a setting that the cell could choose from; empty without a choice."""
        return _numbers((*self.measured, *self.lost), key)


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
    waited_for = [run for run in cell.trials if run.id not in records]
    if any(run.id not in diverged for run in waited_for):
        return None
    finished = [(run, records[run.id]) for run in cell.trials if run.id in records]
    lost = {_value_of(run, tuned): DIVERGED_VALUE for run in waited_for}
    if finished and "path" in finished[0][1]:
        return _along_path(cell, finished)
    measured = {_value_of(run, tuned): i for i, (run, _) in enumerate(finished)}
    return Outcome(cell, finished, measured, lost)


def _along_path(cell: Cell, finished: Sequence[tuple[Run, Record]]) -> Outcome:
    """All values of a cell are on the path of its one run."""
    path = finished[0][1]["path"]
    values = _path_values(str(path["key"]), tuple(path["values"]))
    converged = path.get("converged") or [True] * len(values)
    measured = {value: i for i, value in enumerate(values) if converged[i]}
    lost = {values[i]: NOT_CONVERGED for i in range(len(values)) if not converged[i]}
    return Outcome(cell, finished, measured, lost, has_path=True)


@functools.lru_cache(maxsize=64)
def _path_values(key: str, values: tuple[float, ...]) -> list[Value]:
    return [((key, float(value)),) for value in values]


@functools.lru_cache(maxsize=256)
def _numbers(values: tuple[Value, ...], key: str) -> tuple[float, ...]:
    return tuple(number for value in values for name, number in value if name == key)


def _value_of(run: Run, tuned: Sequence[str]) -> Value:
    recipe = trial_recipe(run)
    return tuple((key, getattr(recipe, key)) for key in tuned if key in recipe.tunable)


def _frozen(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def _differing(settings: Sequence[Settings]) -> list[str]:
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


@functools.cache
def _label(recipe: Finetune, tuned: tuple[str, ...], keys: tuple[str, ...]) -> str:
    """The mode with the values of these settings."""
    settings = {"solver": getattr(recipe, "solver", None), **_settings(recipe, tuned)[0]}
    words = [
        str(settings[key]) if key == "solver" else f"{key}={_said(settings[key])}"
        for key in sorted(keys, key=lambda key: (key != "solver", key))
        if settings.get(key) is not None
    ]
    paper = ["(paper protocol: chosen on test)"] if settings.get("select") == "test" else []
    return " ".join([recipe.mode, *words, *paper])
