"""selection.csv: what validation chose, and what a choice on the test set would have reported."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from hpc_xfer.results.answers.rows import SelectionBias
from hpc_xfer.results.tables.csv_files import Row

_FEW = 6  # values of a grid that are listed one by one
Place = tuple[str, str, str]  # mode, data set, shots


@dataclass(frozen=True)
class CellRows:
    """The rows of cells.csv of one data set and shot count, read when they are asked for."""

    shots: str
    state: str  # digest of what the rows are made of
    read: Callable[[], list[dict[str, str]]]

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        return self.read()

    def selection(self, tuned: Sequence[str]) -> list[SelectionBias]:
        return selection_rows(self.rows, tuned)


def selection_rows(rows: Iterable[Row], tuned: Sequence[str]) -> list[SelectionBias]:
    """Compare the choice of validation with that of the test set, per tuned setting.

    Args:
        rows: of cells.csv. A column `<setting>_grid`, where there is one, tells grids apart by
            their values; without it they are told apart by the number of values.
        tuned: the settings that the study tunes.
    """
    groups: dict[tuple[Place, str], list[Row]] = {}
    for row in rows:
        for key in _chosen_keys(row, tuned):
            place = (row["mode"], row["dataset"], row["shots"])
            groups.setdefault((place, key), []).append(row)
    found = [_selection(place, key, group) for (place, key), group in groups.items()]
    return [row for row in found if row is not None]


def grid_text(values: Iterable[float]) -> str:
    """Name a grid by its values, or by its ends and their number where it has many."""
    found = sorted(set(values))
    if not found:
        return ""
    if len(found) > _FEW:
        return f"{found[0]:g} to {found[-1]:g} ({len(found)} values)"
    return ", ".join(f"{value:g}" for value in found)


def _chosen_keys(row: Row, tuned: Sequence[str]) -> list[str]:
    """List the settings that were chosen in a cell; with one trial there was no choice."""
    if int(row["trials_planned"]) < 2:
        return []
    return [key for key in tuned if row.get(key) and row.get(f"{key}_grid") != ""]


def _grid(row: Row, key: str) -> str:
    return row.get(f"{key}_grid") or f"{row['trials_planned']} values"


def _at(group: Sequence[Row], key: str, end: str) -> int:
    return sum(row.get(f"{key}_edge") == end for row in group)


def _selection(place: Place, key: str, group: Sequence[Row]) -> SelectionBias | None:
    """Make one row; None where the accuracy of what validation would choose was not measured."""
    known = [(row, pair) for row in group if (pair := _chosen_and_best(row)) is not None]
    if not known:
        return None
    group = [row for row, _ in known]
    chosen, best = (
        fmean(sorted(values)) for values in zip(*(pair for _, pair in known), strict=True)
    )
    trials = Counter(int(row["trials_planned"]) for row in group)
    mode, dataset, shots = place
    return SelectionBias(
        mode=mode,
        dataset=dataset,
        shots=shots,
        cells=len(group),
        chosen=chosen,
        best=best,
        bias=best - chosen,
        tuned=key,
        low=_at(group, key, "low"),
        high=_at(group, key, "high"),
        trials=min(trials, key=lambda number: (-trials[number], number)),
        differs=_differs(group, key),
    )


def _chosen_and_best(row: Row) -> tuple[float, float] | None:
    """Test accuracy of what validation chose, and of the best on test.

    Under the paper protocol the cell reports the latter, and its bias where validation ran too.
    """
    reported = float(row["test_top1"])
    if row.get("protocol") != "paper":
        return reported, float(row["test_best_of_trials"])
    bias = row.get("test_selection_bias")
    return (reported - float(bias), reported) if bias else None


def _differs(group: Sequence[Row], key: str) -> str:
    """Name the labels whose grids are not the one that most labels have."""
    grids: dict[str, set[str]] = {}
    for row in group:
        grids.setdefault(row["label"], set()).add(_grid(row, key))
    common = Counter(grid for found in grids.values() for grid in found)
    usual = min(common, key=lambda grid: (-common[grid], grid))
    return "; ".join(
        f"{label} ({' and '.join(sorted(found))})"
        for label, found in grids.items()
        if found != {usual}
    )
