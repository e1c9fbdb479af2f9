"""Results of fine-tunings for TensorBoard: curves against shots, and rows of HParams.

TensorBoard selects no run at first where there are more than 500. So all shots, draws and seeds of
an encoder, a data set and a mode are one row: 360 rows with 20 encoders, nine data sets, two modes.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpc_xfer.reporting.tensorboard.board_run import (
    BoardRun,
    Point,
    Setting,
    file_names,
    setting,
    settings_of,
)
from hpc_xfer.reporting.tensorboard.shot_steps import ShotSteps
from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.tables.csv_files import Row

_EDGE = "_edge"  # ends the name of a column that every tuned setting has


def curve_runs(averages: Sequence[Average], steps: ShotSteps) -> Iterator[BoardRun]:
    """Yield a run per encoder, with a curve of accuracy against shots per mode and data set."""
    points: dict[str, list[Point]] = {}
    for a in averages:
        if a.interval is not None:
            step = steps.of(a.dataset, a.shots)
            point = Point(f"accuracy, {a.mode}/{a.dataset}", step, a.interval.mean)
            points.setdefault(a.label, []).append(point)
    names = file_names(points)
    for label, found in points.items():
        yield BoardRun(f"curves/{names[label]}", tuple(found))


def session_runs(
    averages: Sequence[Average], cells: Sequence[Row], steps: ShotSteps
) -> Iterator[BoardRun]:
    """Yield a row of HParams per encoder, data set and mode.

    Its metrics are the test and validation accuracy at each number of shots, over draws and seeds.
    Its settings are those of the encoder, and per number of shots the values that were chosen most
    often.
    """
    groups: dict[tuple[str, str, str], list[Average]] = {}
    for a in averages:
        groups.setdefault((a.label, a.mode, a.dataset), []).append(a)
    names = file_names(" ".join(key) for key in groups)
    found = _by_cell_group(cells)
    for key, group in groups.items():
        points: list[Point] = []
        chosen: dict[str, Setting] = {}
        for a in group:
            here, shots = found.get((a.label, a.shots, a.mode), {}), steps.name(a.shots)
            values = {
                "test accuracy": a.interval.mean if a.interval else None,
                "validation accuracy": _validation(here, a),
            }
            points += [
                Point(f"{name}/{shots}", steps.of(a.dataset, a.shots), value)
                for name, value in values.items()
                if value is not None
            ]
            at = here.get(a.dataset)
            chosen |= {
                f"value chosen: {name}, {shots}": v for name, v in (at.chosen if at else {}).items()
            }
        if points:
            first = group[0]
            settings = {"kind": "fine-tuning", **settings_of(first.encoder.row)}
            settings |= {"mode": first.mode, "data set": first.dataset, **chosen}
            complete = not any(a.missing for a in group)
            yield BoardRun(f"finetuning/{names[' '.join(key)]}", tuple(points), settings, complete)


@dataclass(frozen=True)
class _CellGroup:
    """The cells of an encoder, a mode, a number of shots and a data set, taken together."""

    validation: float | None
    chosen: Mapping[str, Setting]  # tuned setting -> value that most cells chose, or the first


def _by_cell_group(cells: Iterable[Row]) -> dict[tuple[str, str, str], dict[str, _CellGroup]]:
    """(label, shots, mode) -> data set -> place."""
    groups: dict[tuple[str, str, str], dict[str, list[Row]]] = {}
    for row in cells:
        sets = groups.setdefault((row["label"], row["shots"], row["mode"]), {})
        sets.setdefault(row["dataset"], []).append(row)
    return {
        key: {name: _cell_group(rows) for name, rows in sets.items()}
        for key, sets in groups.items()
    }


def _cell_group(rows: Sequence[Row]) -> _CellGroup:
    validation = [float(row["val_top1"]) for row in rows if row.get("val_top1")]
    tuned = [name.removesuffix(_EDGE) for name in rows[0] if name.endswith(_EDGE)]
    values = {name: [row[name] for row in rows if row[name]] for name in tuned}
    return _CellGroup(
        statistics.fmean(validation) if validation else None,
        {name: setting(statistics.mode(found)) for name, found in values.items() if found},
    )


def _validation(places: Mapping[str, _CellGroup], average: Average) -> float | None:
    """Average the validation accuracy of the cells, for the mean within each data set first.

    None where the mean leaves out some data sets: the tables do not name those that it is over.
    """
    kept = [place for name, place in places.items() if average.dataset in (name, MEAN)]
    values = [place.validation for place in kept if place.validation is not None]
    return statistics.fmean(values) if values and len(values) == average.datasets else None
