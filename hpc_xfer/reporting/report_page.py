"""Write report.html of a study, from its CSVs alone."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from hpc_xfer.reporting import figures, findings, html
from hpc_xfer.reporting.figure_data import shots_text
from hpc_xfer.reporting.figures import FigureFile
from hpc_xfer.results import csv_files
from hpc_xfer.results.averages import Average, read_averages, read_scores
from hpc_xfer.results.csv_files import Row
from hpc_xfer.results.paired_differences import paired_differences
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import atomic_files

_MOST_LISTED = 200  # missing runs on the page; missing.csv has all


@dataclass(frozen=True)
class _Tables:
    """The CSVs of a study, read."""

    runs: Sequence[Row]
    cells: Sequence[Row]
    averages: Sequence[Average]
    missing: Sequence[Row]

    @property
    def absent(self) -> list[Row]:
        """Missing runs, without the cells that wait for them."""
        return [row for row in self.missing if row["kind"] != "cell"]


def write(asked: Study, folder: StudyDir) -> Path:
    """Draw all figures and write report.html; a study that is not finished is told as such.

    Raises:
        StoreError: the CSVs are not there (collect first), or the folder cannot be written.
    """
    found = _Tables(
        runs=csv_files.read(folder.summary / "runs.csv"),
        cells=csv_files.read(folder.summary / "cells.csv"),
        averages=read_averages(csv_files.read(folder.summary / "averages.csv")),
        missing=csv_files.read(folder.summary / "missing.csv"),
    )
    drawn = figures.draw(folder.summary, folder.figures)
    body = [
        *_head(asked, found),
        *_answer(found),
        *_figures(drawn),
        *_selection(asked, found),
        *_missing(found),
        *_protocol(asked, found),
        *_origin(found),
    ]
    atomic_files.write_text(folder.report, html.page(asked.name, body))
    return folder.report


def _head(asked: Study, found: _Tables) -> Iterator[str]:
    yield f'<div class="over">{escape(asked.name)}</div>'
    yield f"<h1>{escape(asked.question or asked.name)}</h1>"
    states = Counter(row["state"] for row in found.absent)
    planned = len(found.runs) + len(found.absent)
    done = f"{len(found.runs):,} of {planned:,} runs finished"
    waiting = sum(average.missing for average in found.averages)
    facts = [(done, "" if states else "good"), (f"{len(found.cells):,} cells complete", "")]
    if waiting:
        facts.append((f"{waiting:,} cells missing", "bad"))
    facts += [(f"{n:,} {state}", "bad") for state, n in sorted(states.items())]
    yield html.badges(facts)


def _answer(found: _Tables) -> Iterator[str]:
    yield "<h2>Answer</h2>"
    if not found.cells:
        yield html.paragraph("No cell is complete yet, so there is no answer.", "lead")
        return
    differences = paired_differences(read_scores(found.cells), found.averages)
    for sentence in findings.sentences(found.averages, differences):
        yield html.paragraph(sentence, "lead")
    main = findings.main_matrices(found.averages)
    for matrix in main:
        yield _matrix(matrix)
    others = [_matrix(m) for m in findings.matrices(found.averages) if m not in main]
    if others:
        yield html.details(f"Each data set ({len(others)} tables)", "".join(others))


def _matrix(matrix: findings.Matrix) -> str:
    rows = []
    for label, entries in matrix.rows.items():
        cells = [
            f"<strong>{findings.percent(a)}</strong>" if matrix.is_best(a) else findings.percent(a)
            for a in entries
        ]
        rows.append([escape(label), *cells])
    title = f"<h3>{escape(matrix.title)} ({escape(matrix.mode)})</h3>"
    signs = f"Test accuracy in percent ± half of the 95% interval. {findings.note(matrix)}"
    header = ["", *(shots_text(shots) for shots in matrix.shots)]
    return title + html.table(header, rows) + html.paragraph(signs.strip(), "soft")


def _figures(drawn: Sequence[FigureFile]) -> Iterator[str]:
    if drawn:
        yield "<h2>Figures</h2>"
    for figure in drawn:
        yield html.picture(figure.svg, figure.title, figure.caption)


def _selection(asked: Study, found: _Tables) -> Iterator[str]:
    """How often which tuned value was chosen, and whether the grid was wide enough."""
    if not (asked.tuned and found.cells):
        return
    yield "<h2>What validation chose</h2>"
    for key in asked.tuned:
        edges = Counter(row[f"{key}_edge"] for row in found.cells if row[f"{key}_edge"])
        yield f"<h3>{escape(key)}</h3>"
        yield _histogram(key, {str(getattr(trial, key)) for trial in asked.trials}, found.cells)
        for end, n in sorted(edges.items()):
            way = "larger" if end == "high" else "smaller"
            yield html.paragraph(
                f"{n} of {len(found.cells)} cells chose the {end} end of the grid; {way} values "
                "may do better, so add some.",
                "bad-text",
            )
    bias = [
        float(row["test_best_of_trials"]) - float(row["test_top1"]) for row in found.cells
    ]  # the test set is only looked at afterwards
    yield html.paragraph(
        f"Choosing on the test set instead would have reported {100 * sum(bias) / len(bias):.1f} "
        "points more on average: that much would be bias."
    )


def _histogram(key: str, grid: set[str], cells: Sequence[Row]) -> str:
    """How many cells chose each value of the grid."""
    counts = dict.fromkeys(grid, 0) | Counter(row[key] for row in cells)
    most = max(counts.values())
    rows = [
        [
            escape(value),
            f"{n}",
            f'<span class="bar" style="width:{12 * n / most:.2f}rem" aria-hidden="true"></span>',
        ]
        for value, n in sorted(counts.items(), key=lambda item: float(item[0]))
    ]
    return html.table([key, "cells", ""], rows, "text")


def _missing(found: _Tables) -> Iterator[str]:
    if not found.missing:
        return
    yield "<h2>Missing</h2>"
    order = {"failed": 0, "incomplete": 1, "blocked": 2, "not run": 3}
    rows = sorted(found.missing, key=lambda row: order.get(row["state"], len(order)))
    shown = [
        [
            escape(row["run"] or "cell"),
            *(escape(row[name]) for name in ("state", "label", "dataset", "shots", "draw", "mode")),
            escape(": ".join(part for part in (row["class"], row["message"]) if part)),
        ]
        for row in rows[:_MOST_LISTED]
    ]
    header = ["run", "state", "label", "data set", "shots", "draw", "mode", "why"]
    body = html.table(header, shown, "text")
    if len(rows) > _MOST_LISTED:
        body += html.paragraph(f"{len(rows) - _MOST_LISTED:,} more in missing.csv.", "soft")
    yield html.details(f"{len(rows):,} runs and cells", body, shown=len(rows) <= 20)


def _protocol(asked: Study, found: _Tables) -> Iterator[str]:
    draws = len({trial.draw for trial in asked.trials})
    yield "<h2>Protocol</h2>"
    sizes = sorted({(row["dataset"], row["n_test"]) for row in found.cells})
    names = Counter(name for name, _ in sizes)
    for name in (name for name, n in names.items() if n > 1):
        warning = f"{name}: the runs were tested on sets of different sizes; do not compare them."
        yield html.paragraph(warning, "bad-text")
    tested = ", ".join(f"{name} {n}" for name, n in sizes)
    told = f" ({tested} images)" if tested else ""
    tuned = ", ".join(asked.tuned)
    yield html.bullets(
        [
            f"The test set is whole and the same for every run{told}; no decision reads it.",
            f"{tuned or 'Nothing'} is tuned, per cell, on validation images that are taken from "
            "the training set and never trained on; all labels have the same grid, and a cell with "
            "a missing trial is not chosen from; one that diverged was tried and lost.",
            f"Few-shot subsets are nested, and each draw (up to {draws}) has the same images for "
            "every label, so differences are paired.",
            "Intervals are 95% Student t intervals over draws; where a label has several "
            "pre-training seeds, draws are averaged first and the interval is over seeds.",
            "An interval does not know that the best of several labels was picked for a sentence.",
        ]
    )


def _origin(found: _Tables) -> Iterator[str]:
    """Where the numbers were made."""
    if not found.runs:
        return
    yield "<h2>Provenance</h2>"
    rows = []
    for name in ("commit", "dirty", "torch", "gpu", "host"):
        counts = Counter(row[name] or "unknown" for row in found.runs)
        values = ", ".join(f"{value} ({n:,})" for value, n in sorted(counts.items()))
        rows.append([escape(name), escape(values)])
    yield html.table(["", "runs"], rows, "text")
    hours = sum(float(row["seconds"]) for row in found.runs if row["seconds"]) / 3600
    yield html.paragraph(f"All runs together took {hours:.1f} hours.", "soft")
