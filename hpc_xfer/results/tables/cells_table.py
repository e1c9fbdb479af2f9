"""cells.csv: one row per complete cell, with the value that validation chose."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.results.answers.selection import grid_text
from hpc_xfer.results.cells import DIVERGED_VALUE, NOT_CONVERGED, Cell, trial_recipe
from hpc_xfer.results.encoder_info import ENCODER_COLUMNS, Encoders
from hpc_xfer.results.parts.names import Names
from hpc_xfer.results.selection import Choice
from hpc_xfer.results.tables.csv_files import fixed

CELL_COLUMNS = (
    *ENCODER_COLUMNS, "parent", "pretrain_seed", "dataset", "shots", "draw", "mode", "validation",
    "protocol",
)  # fmt: skip
SHARES = (
    "val_top1", "test_top1", "test_top5", "test_per_class", "test_macro_f1", "test_nll", "test_ece",
    "val_nll",
)  # fmt: skip
_COUNTS = ("n_val", "n_test", "train_images", "labels", "classes", "short_classes")
# Columns that records of version 0.1 have no value for; they are left out where all rows are empty.
LATER_COLUMNS = frozenset(
    ("validation", "protocol", "not_converged", "chosen_over_draws", "test_macro_f1", "test_nll",
     "test_ece", "val_nll", "test_selection_bias", "labels", "classes", "short_classes")
)  # fmt: skip


def cells_columns(
    tuned: Sequence[str], varying: Iterable[str], further: Iterable[str]
) -> list[str]:
    """List the columns of cells.csv, with those that are left out where all rows are empty.

    Args:
        tuned: settings that validation chooses; each has the end of the grid it is at, too.
        varying: other settings of fine-tunings, of which the study has several.
        further: metrics of further test sets.
    """
    return [
        *CELL_COLUMNS, *(name for name in varying if name not in CELL_COLUMNS),
        "trials", "diverged", "not_converged", "trials_planned", "run",
        *(name for key in tuned for name in (key, f"{key}_edge", _grid_column(key))),
        "chosen_over_draws",
        *SHARES, "test_mean_of_trials", "test_best_of_trials", "test_selection_bias", *_COUNTS,
        *further,
    ]  # fmt: skip


def varying_settings(choices: Iterable[Choice]) -> list[str]:
    """List the settings of fine-tunings that vary, in order of first appearance."""
    return list(dict.fromkeys(name for choice in choices for name, _ in choice.cell.varying))


def grids_of(rows: Sequence[Mapping[str, object]], tuned: Sequence[str]) -> dict[str, list[str]]:
    """Column -> the grids in it. One grid need not be told apart, so its column is left out."""
    columns = [_grid_column(key) for key in tuned]
    return {name: sorted({str(row[name]) for row in rows} - {""}) for name in columns}


def cell_rows(choices: Sequence[Choice], names: Names) -> list[dict[str, object]]:
    """Make rows of cells.csv; per tuned setting, the chosen value and the end of its grid."""
    further = further_tests(choice.measured.record for choice in choices)
    return [_row(choice, names.tuned, further, names.encoders) for choice in choices]


@functools.lru_cache(maxsize=256)
def _grid_text(values: tuple[float, ...]) -> str:
    return grid_text(values)


def _grid_column(key: str) -> str:
    return f"{key}_grid"


def cell_identity(cell: Cell, encoders: Encoders) -> dict[str, object]:
    """Give the columns that identify a cell."""
    recipe = cell.recipe
    return {
        **encoders[cell.encoder].row,
        "parent": cell.parent.id,
        "pretrain_seed": cell.seed,
        "dataset": cell.dataset,
        "shots": recipe.shots,
        "draw": recipe.draw,
        "mode": cell.label,
        "validation": recipe.validation if recipe.val_seed is None else "",
        "protocol": protocol_of(recipe),
    }


def protocol_of(recipe: Finetune) -> str:
    """Mark what was chosen on the test set: `paper`, else empty."""
    return "paper" if getattr(recipe, "select", "validation") == "test" else ""


def further_tests(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the metrics of further test sets, such as `cifair_top1`."""
    own = ("val_", "test_", "zeroshot_")
    names = {
        name
        for record in records
        for name in record.get("path") or record["metrics"]
        if name.endswith("_top1") and not name.startswith(own)
    }
    return sorted(names)


def _row(
    choice: Choice, tuned: Sequence[str], further: Sequence[str], encoders: Encoders
) -> dict[str, object]:
    cell, outcome, chosen = choice.cell, choice.outcome, dict(choice.value)
    recipe, metrics = trial_recipe(choice.run), choice.measured.record["metrics"]
    return {
        **dict(cell.varying),
        **cell_identity(cell, encoders),
        "trials": len(outcome.measured),
        "diverged": choice.lost(DIVERGED_VALUE),
        "not_converged": choice.lost(NOT_CONVERGED) if choice.measured.place is not None else "",
        "trials_planned": len(outcome.measured) + len(outcome.lost),
        "run": choice.run.id,
        **{key: chosen.get(key, getattr(recipe, key, None)) for key in tuned},
        **{f"{key}_edge": choice.edges.get(key, "") for key in tuned},
        **{_grid_column(key): _grid_text(outcome.tried(key)) for key in tuned},
        "chosen_over_draws": choice.draws if choice.draws > 1 else "",
        **{name: fixed(choice.metric(name)) for name in (*SHARES, *further)},
        "test_mean_of_trials": fixed(choice.test_mean_of_values),
        "test_best_of_trials": fixed(choice.test_best_of_values),
        "test_selection_bias": fixed(choice.bias),
        **{name: metrics.get(name) for name in _COUNTS},
    }
