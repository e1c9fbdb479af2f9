"""Select one trial per cell by validation accuracy, never by test accuracy.

A cell is the runs that differ only in what is tuned. The paper's tables took the best of all epochs
and learning rates on the test set; here a trial's test accuracy is not looked at before the choice
is made. A trial that diverged (its loss became NaN or infinite) counts as the worst trial: it is
never chosen, and its cell does not wait for it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.results.encoder_info import encoder_key
from hpc_xfer.study.plan import Plan, Run

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One encoder, data set, shot count, draw and mode, with all its planned trials."""

    trials: tuple[Run, ...]

    @property
    def parent(self) -> Run:
        return self.trials[0].parents[0]

    @property
    def recipe(self) -> Finetune:
        """The recipe of any trial: all agree except in what is tuned."""
        return trial_recipe(self.trials[0])

    @property
    def seed(self) -> int | None:
        """The seed of the pre-training; None where it has none (released weights)."""
        return self.parent.spec.get("seed")


@dataclass(frozen=True)
class Choice:
    """The trial that validation chose in a complete cell, and how the others did."""

    cell: Cell
    run: Run
    metrics: Metrics  # of the chosen trial
    edges: Mapping[str, str]  # tuned key -> low | high | "" (see `edge`)
    diverged: int  # trials without an accuracy; they count in neither of the next two
    test_mean_of_trials: float
    test_best_of_trials: float  # what selection on the test set would have reported


def planned_cells(plan: Plan) -> list[Cell]:
    """Group the fine-tunings of the plan into cells, in its order."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in plan.of("finetune"):
        recipe = trial_recipe(run)
        key = (encoder_key(run), recipe.dataset, recipe.shots, recipe.draw, recipe.mode)
        groups.setdefault(key, []).append(run)
    return [Cell(tuple(runs)) for runs in groups.values()]


def choose(
    cell: Cell,
    tuned: Sequence[str],
    metrics: Mapping[str, Metrics],
    diverged: Collection[str] = (),
) -> Choice | None:
    """Choose the trial with the best `val_top1`; None while any is missing or if all diverged.

    A choice among fewer trials would compare pre-trainings by unequal grids. Equal validation
    accuracy goes to the smaller learning rate, then to the smaller id.

    Args:
        cell: its planned trials.
        tuned: the recipe keys that tell its trials apart.
        metrics: run id -> metrics of the finished runs, accuracies as shares (0 to 1).
        diverged: ids of the runs that diverged.
    """
    finished = [trial for trial in cell.trials if trial.id in metrics]
    diverged_here = sum(trial.id not in metrics and trial.id in diverged for trial in cell.trials)
    if not finished or len(finished) + diverged_here < len(cell.trials):
        return None
    best = min(
        finished,
        key=lambda run: (-metrics[run.id]["val_top1"], trial_recipe(run).lr, run.id),
    )
    test = sorted(metrics[trial.id]["test_top1"] for trial in finished)
    return Choice(
        cell=cell,
        run=best,
        metrics=metrics[best.id],
        edges={key: edge(cell, best, key) for key in tuned},
        diverged=diverged_here,
        test_mean_of_trials=sum(test) / len(test),
        test_best_of_trials=test[-1],
    )


def edge(cell: Cell, chosen: Run, key: str) -> str:
    """Return `low` or `high` where the chosen value is at that end of its grid, else empty.

    At an end, a better value may lie beyond. A grid of two values has only ends, so this is said
    from three values on.
    """
    values = sorted({getattr(trial.recipe, key) for trial in cell.trials})
    if len(values) < 3:
        return ""
    value = getattr(chosen.recipe, key)
    return {values[0]: "low", values[-1]: "high"}.get(value, "")


def trial_recipe(run: Run) -> Finetune:
    assert isinstance(run.recipe, Finetune), f"run {run.id} is not a fine-tuning"
    return run.recipe


def partly_done(cells: Sequence[Cell], waited_for: Collection[str]) -> list[tuple[Cell, int]]:
    """Cells that wait for some of their trials but not all, with how many are finished or diverged.

    Args:
        cells: to look at.
        waited_for: ids of the runs without a result, but for those that diverged.
    """
    counts = [(cell, sum(trial.id not in waited_for for trial in cell.trials)) for cell in cells]
    return [(cell, n) for cell, n in counts if 0 < n < len(cell.trials)]


def all_diverged(cells: Sequence[Cell], diverged: Collection[str]) -> list[Cell]:
    """Cells without any trial to choose from, now and later."""
    return [cell for cell in cells if all(trial.id in diverged for trial in cell.trials)]
