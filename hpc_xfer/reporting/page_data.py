"""Values of report.html, worked out from the CSVs; the template puts them into words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.config.finetune_recipes import LinearProbe
from hpc_xfer.reporting.accuracy_matrix import main_matrices, matrices
from hpc_xfer.reporting.sentences.answer_tables import read_answers
from hpc_xfer.reporting.sentences.questions import sentences
from hpc_xfer.results import csv_files
from hpc_xfer.results.averages import Average, read_averages
from hpc_xfer.results.csv_files import Row
from hpc_xfer.study.study_file import Study

_STATES = ("failed", "incomplete", "blocked", "not run")  # of missing runs, in the page's order


@dataclass(frozen=True)
class TunedSetting:
    """The values that cells chose for one setting, and how many are at an end of its grid."""

    key: str
    cells: Mapping[str, int]  # value -> cells that chose it
    edges: Mapping[str, int]  # low | high -> cells that chose that end of the grid


def page_data(study: Study, summary: Path) -> dict[str, object]:
    """Work out the variables of the template.

    Raises:
        StoreError: the CSVs are not there; collect first.
    """
    names = ("runs", "cells", "averages", "missing")
    runs, cells, means, missing = (csv_files.read(summary / f"{name}.csv") for name in names)
    averages = read_averages(means)
    tables = ("gaps", "scaling", "ranks", "variance")
    found = read_answers({name: summary / f"{name}.csv" for name in tables})
    main = main_matrices(averages, found.gaps)
    sizes = sorted({(row["dataset"], row["n_test"]) for row in cells})
    datasets = Counter(dataset for dataset, _ in sizes)
    return {
        "study": study,
        "badges": _badges(runs, cells, averages, missing),
        "cells": len(cells),
        "sentences": sentences(averages, found.gaps, found.scaling, found.ranks, found.variance),
        "main_matrices": main,
        "other_matrices": [
            matrix for matrix in matrices(averages, found.gaps) if matrix not in main
        ],
        "tuned_settings": [_tuned_setting(key, study, cells) for key in study.tuned if cells],
        "bias": _bias(cells),
        "missing": sorted(missing, key=_gravity),
        "protocol": _protocol_lines(study),
        "draws": len({trial.draw for trial in study.trials}),
        "test_sizes": sizes,
        "unequal_tests": [dataset for dataset, n in datasets.items() if n > 1],
        "provenance": _provenance(runs),
        "hours": sum(float(row["seconds"]) for row in runs if row["seconds"]) / 3600,
    }


def _badges(
    runs: Sequence[Row], cells: Sequence[Row], averages: Sequence[Average], missing: Sequence[Row]
) -> list[tuple[str, str]]:
    """Short facts for the top of the page: (text, good | bad | nothing)."""
    states = Counter(row["state"] for row in missing if row["kind"] != "cell")
    done = f"{len(runs):,} of {len(runs) + states.total():,} runs finished"
    badges = [(done, "" if states else "good"), (f"{len(cells):,} cells complete", "")]
    if absent := sum(average.missing for average in averages):
        badges.append((f"{absent:,} cells missing", "bad"))
    return badges + [(f"{n:,} {state}", "bad") for state, n in sorted(states.items())]


def _tuned_setting(key: str, study: Study, cells: Sequence[Row]) -> TunedSetting:
    grid = {str(getattr(trial, key)): 0 for trial in study.trials if key in trial.tunable}
    counts = grid | Counter(row[key] for row in cells if row[key])
    edges = Counter(row[f"{key}_edge"] for row in cells if row[f"{key}_edge"])
    by_value = sorted(counts.items(), key=lambda item: float(item[0]))
    return TunedSetting(key, dict(by_value), dict(sorted(edges.items())))


def _bias(cells: Sequence[Row]) -> float:
    """Points that selection on the test set would have added, on average over cells."""
    gaps = [float(row["test_best_of_trials"]) - float(row["test_top1"]) for row in cells]
    return 100 * sum(gaps) / max(1, len(gaps))


def _protocol_lines(study: Study) -> list[str]:
    """Say how values were chosen, and on which labels."""
    lines = []
    if study.tuned:
        how = "one value for all draws" if study.choose == "pooled" else "one value in each draw"
        lines.append(
            f"Validation accuracy chooses {', '.join(study.tuned)}: {how} of a label, data set and "
            "shot count. Validation images are never trained on before the choice, and their "
            "labels count as used."
        )
    validations = {trial.validation for trial in study.trials if trial.val_seed is None}
    if "few" in validations:
        lines.append(
            "At k shots validation has min(k, 4) images per class that are not among the shots; at "
            "full data it is the official validation set, else a fifth of the training set."
        )
    if any(isinstance(trial, LinearProbe) for trial in study.trials):
        lines.append(
            "A linear probe (lp) is fitted until its gradient vanishes, at every value of its "
            "path; at full data it is fitted again with the validation images, for the test."
        )
    if study.protocol == "paper":
        lines.append(
            "PROTOCOL PAPER: the best epoch and learning rate were chosen on the test set, as in "
            "the paper. These numbers are too high; test_selection_bias in cells.csv says by how "
            "much where there was a validation set."
        )
    return lines


def _gravity(missing: Row) -> int:
    state = missing["state"]
    return _STATES.index(state) if state in _STATES else len(_STATES)


def _provenance(runs: Sequence[Row]) -> dict[str, str]:
    """List where the numbers were made: each value with its number of runs."""
    found = {}
    for name in ("commit", "dirty", "torch", "gpu", "host") if runs else ():
        counts = Counter(row[name] or "unknown" for row in runs)
        found[name] = ", ".join(f"{value} ({n:,})" for value, n in sorted(counts.items()))
    return found
