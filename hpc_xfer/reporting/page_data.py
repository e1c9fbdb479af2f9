"""Values of report.html, worked out from the CSVs; the template puts them into words."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hpc_xfer.config.finetune_recipes import LinearProbe
from hpc_xfer.reporting.accuracy_matrix import main_matrices, matrices
from hpc_xfer.reporting.answer_tables import answer_files, read_answers
from hpc_xfer.reporting.page_tables.accuracy_tables import accuracy_table
from hpc_xfer.reporting.page_tables.chosen_values import chosen_values
from hpc_xfer.reporting.page_tables.missing_runs_table import missing_runs_table
from hpc_xfer.reporting.page_tables.pretraining_table import pretraining_table
from hpc_xfer.reporting.page_tables.sections import (
    sections,
    selection_section,
    set_aside_table,
)
from hpc_xfer.reporting.sentences.questions import sentences
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.averages import Average, read_averages
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.csv_files import Row
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.study.rehearsal import worth_of_numbers
from hpc_xfer.study.study_file import Study
from hpc_xfer.system.terminal import counted


def page_data(study: Study, folder: StudyDir) -> dict[str, object]:
    """Work out the variables of the template, from the tables in `folder`.

    Raises:
        StoreError: the CSVs are not there; collect first.
    """
    summary = folder.summary
    names = ("runs", "cells", "averages", "missing")
    runs, cells, means, missing = (csv_files.read(summary / f"{name}.csv") for name in names)
    averages, tables = read_averages(means), read_answers(answer_files(summary))
    sizes = sorted({(row["dataset"], row["n_test"]) for row in cells if row["n_test"]})
    return {
        "study": study,
        "badges": _badges(runs, cells, averages, missing),
        "worth": worth_of_numbers(study),
        "cells": len(cells),
        "answers": sentences(averages, tables.gaps, tables.scaling, tables.ranks, tables.variance),
        **_accuracies(averages, tables.gaps),
        "sections": sections(tables),
        "selection": selection_section(tables),
        "histograms": chosen_values(study, cells),
        "bias": _bias(cells),
        "pretrainings": pretraining_table(runs),
        "tensorboard": shlex.quote(f"studies/{folder.name}/{folder.tensorboard.name}"),
        "missing": missing_runs_table(missing),
        "set_aside": set_aside_table(summary),
        "protocol": _protocol_lines(study),
        "draws": len({trial.draw for trial in study.trials}),
        "test_sizes": sizes,
        "unequal_tests": _unequal_tests(study, sizes),
        "provenance": _provenance(runs),
        "hours": sum(float(row["seconds"]) for row in runs if row["seconds"]) / 3600,
        "files": sorted(path.name for path in summary.glob("*.csv")),
    }


def _accuracies(averages: Sequence[Average], gaps: Sequence[Gap]) -> dict[str, object]:
    main = main_matrices(averages, gaps)
    others = [matrix for matrix in matrices(averages, gaps) if matrix not in main]
    return {
        "main_tables": [
            accuracy_table(matrix) for matrix in main if any(map(any, matrix.rows.values()))
        ],
        "other_tables": [accuracy_table(matrix) for matrix in others],
    }


def _unequal_tests(study: Study, sizes: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Data set -> its versions, where its runs were not all tested on the same images.

    Args:
        study: for the names of the data sets; a version has more words (parts/test_sets.py).
        sizes: data set in the tables, test images.
    """
    found = {}
    for dataset in dict.fromkeys(trial.dataset for trial in study.trials):
        own = [(name, n) for name, n in sizes if f"{name} (".startswith(f"{dataset} (")]
        if len(own) > 1:
            several = len({name for name, _ in own}) < len(own)
            found[dataset] = [f"{name} with {n} images" if several else name for name, n in own]
    return found


def contents(values: Mapping[str, Any], with_figures: bool) -> list[tuple[str, str]]:
    """List the sections that the page has: (anchor, title)."""
    parts = [part for part in values["sections"] if part.absent or part.tables]
    chosen = values["selection"]
    possible = (
        ("accuracy", "Accuracy", values["main_tables"]),
        ("figures", "Figures", with_figures),
        *((part.anchor, part.title, True) for part in parts),
        (chosen.anchor, chosen.title, values["histograms"] or chosen.absent or chosen.tables),
        ("pretrainings", "Pre-trainings", values["pretrainings"].rows),
        ("missing", "Missing", values["missing"].rows),
        ("set-aside", "Records set aside", values["set_aside"]),
        ("protocol", "Protocol", True),
        ("provenance", "Provenance", values["provenance"]),
    )
    return [(anchor, title) for anchor, title, there in possible if there]


def _badges(
    runs: Sequence[Row], cells: Sequence[Row], averages: Sequence[Average], missing: Sequence[Row]
) -> list[tuple[str, str]]:
    """Short facts for the top of the page: (text, good | bad | nothing)."""
    states = Counter(row["state"] for row in missing if row["kind"] != "cell")
    planned = len(runs) + states.total()
    badges = [(f"{counted(len(cells), 'cell')} complete", "")]
    if planned:  # none if all results are imported
        done = f"{len(runs):,} of {counted(planned, 'run')} finished"
        badges.insert(0, (done, "" if states else "good"))
    if absent := sum(average.missing for average in averages):
        badges.append((f"{counted(absent, 'cell')} missing", "bad"))
    return badges + [(f"{n:,} {state}", "bad") for state, n in sorted(states.items())]


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


def _provenance(runs: Sequence[Row]) -> dict[str, str]:
    """List where the numbers were made: each value with its number of runs."""
    found = {}
    for name in ("commit", "dirty", "torch", "gpu", "host") if runs else ():
        if name not in runs[0]:  # a public table has no host
            continue
        counts = Counter(row[name] or "unknown" for row in runs)
        found[name] = ", ".join(f"{value} ({n:,})" for value, n in sorted(counts.items()))
    return found
