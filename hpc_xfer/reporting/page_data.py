"""Values of report.html, worked out from the CSVs; the template puts them into words."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from hpc_xfer.reporting.accuracy_matrix import AccuracyMatrix, main_matrices, matrices
from hpc_xfer.reporting.figures import FigureFile
from hpc_xfer.reporting.findings import sentences
from hpc_xfer.results import csv_files
from hpc_xfer.results.averages import Average, read_averages
from hpc_xfer.results.csv_files import Row
from hpc_xfer.results.paired_differences import paired_differences
from hpc_xfer.results.scores import read_scores
from hpc_xfer.study.study_file import Study

_MOST_LISTED = 200  # missing runs on the page; missing.csv has all
_STATES = ("failed", "incomplete", "blocked", "not run")  # in the order of the page
_BAR_REM = 12  # width of the longest bar


@dataclass(frozen=True)
class StudyTables:
    """The CSVs of a study, read."""

    runs: Sequence[Row]
    cells: Sequence[Row]
    averages: Sequence[Average]
    missing: Sequence[Row]


@dataclass(frozen=True)
class Badge:
    """A short fact at the top of the page."""

    text: str
    kind: str = ""  # good | bad | empty


@dataclass(frozen=True)
class Picture:
    """A figure as part of the page; as an image, so that ids in it cannot clash with others."""

    title: str
    caption: str
    data_uri: str


@dataclass(frozen=True)
class Bar:
    """One value of a tuned setting, and the number of cells that chose it."""

    value: str
    cells: int
    rem: str  # width


@dataclass(frozen=True)
class TunedSetting:
    """The values that cells chose for one setting, and how many are at an end of its grid."""

    key: str
    bars: Sequence[Bar]
    cells: int
    edges: Mapping[str, int]  # low | high -> cells that chose that end of the grid


@dataclass(frozen=True)
class MissingRows:
    """Runs and cells without a result; `rows` has the first of them."""

    total: int
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Protocol:
    """Facts of the study that the protocol names."""

    draws: int
    tests: Sequence[str]  # "digits 899"
    unequal_tests: Sequence[str]  # data sets whose runs saw test sets of different sizes


class PageData(TypedDict):
    """The variables of the template."""

    study: Study
    badges: Sequence[Badge]
    cells: int
    sentences: Sequence[str]
    main_matrices: Sequence[AccuracyMatrix]
    other_matrices: Sequence[AccuracyMatrix]
    figures: Sequence[Picture]
    tuned_settings: Sequence[TunedSetting]
    bias: str  # points
    missing: MissingRows
    protocol: Protocol
    provenance: Sequence[Sequence[str]]
    hours: str


def read_tables(summary: Path) -> StudyTables:
    """Read the CSVs of a study.

    Raises:
        StoreError: the CSVs are not there; collect first.
    """
    return StudyTables(
        runs=csv_files.read(summary / "runs.csv"),
        cells=csv_files.read(summary / "cells.csv"),
        averages=read_averages(csv_files.read(summary / "averages.csv")),
        missing=csv_files.read(summary / "missing.csv"),
    )


def page_data(study: Study, tables: StudyTables, figures: Sequence[FigureFile]) -> PageData:
    """Work out everything that the page shows."""
    averages, cells = tables.averages, tables.cells
    main = main_matrices(averages)
    return PageData(
        study=study,
        badges=_badges(tables),
        cells=len(cells),
        sentences=sentences(averages, paired_differences(read_scores(cells), averages)),
        main_matrices=main,
        other_matrices=[matrix for matrix in matrices(averages) if matrix not in main],
        figures=[_picture(figure) for figure in figures],
        tuned_settings=[_tuned_setting(key, study, cells) for key in study.tuned if cells],
        bias=_bias(cells),
        missing=_missing(tables.missing),
        protocol=_protocol(study, cells),
        provenance=_provenance(tables.runs),
        hours=_hours(tables.runs),
    )


def _badges(tables: StudyTables) -> list[Badge]:
    states = Counter(row["state"] for row in tables.missing if row["kind"] != "cell")
    planned = len(tables.runs) + states.total()
    done = f"{len(tables.runs):,} of {planned:,} runs finished"
    badges = [Badge(done, "" if states else "good"), Badge(f"{len(tables.cells):,} cells complete")]
    if missing := sum(average.missing for average in tables.averages):
        badges.append(Badge(f"{missing:,} cells missing", "bad"))
    return badges + [Badge(f"{n:,} {state}", "bad") for state, n in sorted(states.items())]


def _picture(figure: FigureFile) -> Picture:
    data = base64.b64encode(figure.svg.read_bytes()).decode()
    return Picture(figure.title, figure.caption, f"data:image/svg+xml;base64,{data}")


def _tuned_setting(key: str, study: Study, cells: Sequence[Row]) -> TunedSetting:
    grid = {str(getattr(trial, key)): 0 for trial in study.trials}
    counts = grid | Counter(row[key] for row in cells)
    most = max(counts.values())
    bars = [
        Bar(value, n, f"{_BAR_REM * n / most:.2f}")
        for value, n in sorted(counts.items(), key=lambda item: float(item[0]))
    ]
    edges = Counter(row[f"{key}_edge"] for row in cells if row[f"{key}_edge"])
    return TunedSetting(key, bars, len(cells), dict(sorted(edges.items())))


def _bias(cells: Sequence[Row]) -> str:
    """Points that selection on the test set would have added, on average over cells."""
    bias = [float(row["test_best_of_trials"]) - float(row["test_top1"]) for row in cells]
    return f"{100 * sum(bias) / len(bias):.1f}" if bias else ""


def _missing(missing: Sequence[Row]) -> MissingRows:
    order = {state: i for i, state in enumerate(_STATES)}
    rows = sorted(missing, key=lambda row: order.get(row["state"], len(order)))
    columns = ("state", "label", "dataset", "shots", "draw", "mode")
    shown = [
        [
            row["run"] or "cell",
            *(row[name] for name in columns),
            ": ".join(part for part in (row["class"], row["message"]) if part),
        ]
        for row in rows[:_MOST_LISTED]
    ]
    return MissingRows(len(rows), shown)


def _protocol(study: Study, cells: Sequence[Row]) -> Protocol:
    sizes = sorted({(row["dataset"], row["n_test"]) for row in cells})
    datasets = Counter(dataset for dataset, _ in sizes)
    return Protocol(
        draws=len({trial.draw for trial in study.trials}),
        tests=[f"{dataset} {n}" for dataset, n in sizes],
        unequal_tests=[dataset for dataset, n in datasets.items() if n > 1],
    )


def _provenance(runs: Sequence[Row]) -> list[tuple[str, str]]:
    """List where the numbers were made: each value with its number of runs."""
    rows = []
    for name in ("commit", "dirty", "torch", "gpu", "host") if runs else ():
        counts = Counter(row[name] or "unknown" for row in runs)
        rows.append((name, ", ".join(f"{value} ({n:,})" for value, n in sorted(counts.items()))))
    return rows


def _hours(runs: Sequence[Row]) -> str:
    return f"{sum(float(row['seconds']) for row in runs if row['seconds']) / 3600:.1f}"
