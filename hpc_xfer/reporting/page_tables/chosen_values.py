"""Histograms of the values that were chosen: one per grid, since two grids cannot be added."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpc_xfer.config.finetune_recipes import KNN, SOLVERS, Finetune, LinearProbe
from hpc_xfer.results.tables.csv_files import Row
from hpc_xfer.study.study_file import Study

_LONG = 12  # values; of a longer grid those that no cell chose are left out
Grid = tuple[float, ...]  # ascending


@dataclass(frozen=True)
class ChosenHistogram:
    """The values that cells chose from one grid, and how many are at an end of it."""

    key: str
    mode: str
    values: int  # of the grid
    cells: Mapping[str, int]  # value -> cells that chose it
    edges: Mapping[str, int]  # low | high -> cells that chose that end of the grid

    @property
    def total(self) -> int:
        return sum(self.cells.values())

    @property
    def title(self) -> str:
        names = list(self.cells)
        return f"{self.key} ({self.mode}): {self.values} values, {names[0]} to {names[-1]}"

    @property
    def long(self) -> bool:
        """True if the values that no cell chose are not listed."""
        return self.values > _LONG


def chosen_values(study: Study, cells: Sequence[Row]) -> list[ChosenHistogram]:
    """Count what cells chose, per setting, mode and grid.

    Args:
        study: for the grids; a setting with a single value was not chosen.
        cells: rows of cells.csv.
    """
    grids = _Grids(study.trials)
    found: dict[tuple[str, str, Grid], list[Row]] = {}
    for key in study.tuned:
        for row in cells:
            if row.get(key) and len(grid := grids.of(key, row)) > 1:
                found.setdefault((key, row["mode"], grid), []).append(row)
    return [_counted(key, mode, grid, rows) for (key, mode, grid), rows in found.items()]


class _Grids:
    """The grid that a cell chose from; cells.csv names its mode, data set and shots."""

    def __init__(self, trials: Sequence[Finetune]) -> None:
        self._trials: dict[tuple[str, str, str], dict[str, list[Finetune]]] = {}
        for trial in trials:
            place = (trial.mode, trial.dataset, str(trial.shots))
            settings = json.dumps(trial.settings, sort_keys=True)
            self._trials.setdefault(place, {}).setdefault(settings, []).append(trial)
        self._known: dict[tuple[str, str, str, str], list[Grid]] = {}

    def of(self, key: str, row: Row) -> Grid:
        """Return the grid of this setting; empty where no grid of the study holds the value."""
        place = (key, row["mode"], row["dataset"], row["shots"])
        if place not in self._known:
            self._known[place] = list(self._possible(key, row))
        holds = [grid for grid in self._known[place] if float(row[key]) in grid]
        return holds[0] if holds else ()

    def _possible(self, key: str, row: Row) -> Iterator[Grid]:
        label = row["mode"]
        known = self._trials.get((label.split(" ")[0], row["dataset"], row["shots"]))
        for settings in [known] if known else self._trials.values():
            for trials in settings.values():
                if not known or _agrees(trials[0], label):
                    yield tuple(sorted({value for t in trials for value in _values(t, key)}))


def _agrees(trial: Finetune, label: str) -> bool:
    """False where the label of a mode names another value of a setting than the trial has."""
    solver = getattr(trial, "solver", None)
    if any(f" {name}" in label and name != solver for name in SOLVERS):
        return False
    return all(
        f" {name}=" not in label or f" {name}={_said(value)}" in label
        for name, value in trial.settings.items()
    )


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _values(trial: Finetune, key: str) -> tuple[float, ...]:
    if isinstance(trial, LinearProbe | KNN):
        return tuple(map(float, trial.path_values)) if key == trial.path_key else ()
    return (float(getattr(trial, key)),) if key in trial.tunable else ()


def _counted(key: str, mode: str, grid: Grid, rows: Sequence[Row]) -> ChosenHistogram:
    chosen = Counter(float(row[key]) for row in rows)
    ends = (grid[0], grid[-1])
    listed = [value for value in grid if len(grid) <= _LONG or chosen[value] or value in ends]
    return ChosenHistogram(
        key=key,
        mode=mode,
        values=len(grid),
        cells={
            f"{value:.3g}" if len(grid) > _LONG else f"{value:g}": chosen[value] for value in listed
        },
        edges=_edges(key, grid, chosen, rows),
    )


def _edges(key: str, grid: Grid, chosen: Counter[float], rows: Sequence[Row]) -> dict[str, int]:
    """Cells at an end: cells.csv knows where nothing lies beyond an end (one neighbor).

    Of a grid of two values it may be silent, though each value is an end.
    """
    if len(grid) == 2 and key != KNN.path_key:
        found = {"low": chosen[grid[0]], "high": chosen[grid[1]]}
        return {end: n for end, n in found.items() if n}
    return dict(sorted(Counter(end for row in rows if (end := row.get(f"{key}_edge"))).items()))
