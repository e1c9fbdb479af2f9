"""cells.csv: one row per complete cell, with the trial that validation chose."""

from collections.abc import Sequence

from hpc_xfer.results.csv_files import Table, fixed
from hpc_xfer.results.encoder_info import ENCODER_COLUMNS, Encoders, encoder_key
from hpc_xfer.results.selection import Cell, Choice

CELL_COLUMNS = (
    *ENCODER_COLUMNS, "parent", "pretrain_seed", "dataset", "shots", "draw", "mode",
)  # fmt: skip
_SHARES = ("val_top1", "test_top1", "test_top5", "test_per_class")
_COUNTS = ("n_val", "n_test", "train_images")


def cells_table(choices: Sequence[Choice], tuned: Sequence[str], encoders: Encoders) -> Table:
    """Make cells.csv; per tuned setting, the chosen value and the end of the grid it is at."""
    columns = [
        *CELL_COLUMNS, "trials", "diverged", "trials_planned", "run",
        *(name for key in tuned for name in (key, f"{key}_edge")),
        *_SHARES, "test_mean_of_trials", "test_best_of_trials", *_COUNTS,
    ]  # fmt: skip
    return columns, [_row(choice, tuned, encoders) for choice in choices]


def cell_identity(cell: Cell, encoders: Encoders) -> dict[str, object]:
    """Give the columns that identify a cell."""
    recipe = cell.recipe
    return {
        **encoders[encoder_key(cell.trials[0])].row,
        "parent": cell.parent.id,
        "pretrain_seed": cell.seed,
        "dataset": recipe.dataset,
        "shots": recipe.shots,
        "draw": recipe.draw,
        "mode": recipe.mode,
    }


def _row(choice: Choice, tuned: Sequence[str], encoders: Encoders) -> dict[str, object]:
    cell, metrics = choice.cell, choice.metrics
    return {
        **cell_identity(cell, encoders),
        "trials": len(cell.trials) - choice.diverged,
        "diverged": choice.diverged,
        "trials_planned": len(cell.trials),
        "run": choice.run.id,
        **{key: getattr(choice.run.recipe, key) for key in tuned},
        **{f"{key}_edge": end for key, end in choice.edges.items()},
        **{name: fixed(metrics.get(name)) for name in _SHARES},
        "test_mean_of_trials": fixed(choice.test_mean_of_trials),
        "test_best_of_trials": fixed(choice.test_best_of_trials),
        **{name: metrics.get(name) for name in _COUNTS},
    }
