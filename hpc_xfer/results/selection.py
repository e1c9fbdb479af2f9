"""Cells: the runs that differ only in what is tuned. Validation picks one; the test set never does.

The paper's tables took the best of all epochs and learning rates on the test set; here a trial's
test accuracy is not looked at before the choice is made. A trial that diverged (its loss became NaN
or infinite) was tried and lost: it is never chosen, and its cell does not wait for it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config.recipes import Finetune
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
        """Any trial's recipe: all agree but for what is tuned."""
        return trial_recipe(self.trials[0])

    @property
    def seed(self) -> int | None:
        """Of the pre-training; None where it has none (released weights)."""
        return self.parent.spec.get("seed")


@dataclass(frozen=True)
class Choice:
    """The trial that validation chose in a complete cell, and what the others say."""

    cell: Cell
    run: Run
    metrics: Metrics  # of the chosen trial
    edges: Mapping[str, str]  # tuned key -> low | high | "" (see `edge`)
    diverged: int  # trials that have no accuracy; the next two are of the others
    test_mean_of_trials: float
    test_best_of_trials: float  # what selection on the test set would have reported


def cells(plan: Plan) -> list[Cell]:
    """In the order of the plan."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in plan.of("finetune"):
        recipe = trial_recipe(run)
        encoder = (run.parents[0].id, recipe.snapshot)
        key = (*encoder, recipe.dataset, recipe.shots, recipe.draw, recipe.mode)
        groups.setdefault(key, []).append(run)
    return [Cell(tuple(runs)) for runs in groups.values()]


def choose(
    cell: Cell,
    tuned: Sequence[str],
    metrics: Mapping[str, Metrics],
    diverged: Collection[str] = (),
) -> Choice | None:
    """The trial with the best `val_top1`; None while any is missing, or where all diverged.

    A choice among fewer trials would compare pre-trainings by unequal grids. Equal validation
    accuracy goes to the smaller learning rate, then to the smaller id.

    Args:
        cell: its planned trials.
        tuned: the recipe keys that tell its trials apart.
        metrics: run id -> metrics of the finished runs, accuracies as shares (0 to 1).
        diverged: ids of the runs that were tried and lost.
    """
    finished = [trial for trial in cell.trials if trial.id in metrics]
    lost = sum(trial.id not in metrics and trial.id in diverged for trial in cell.trials)
    if not finished or len(finished) + lost < len(cell.trials):
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
        diverged=lost,
        test_mean_of_trials=sum(test) / len(test),
        test_best_of_trials=test[-1],
    )


def edge(cell: Cell, chosen: Run, key: str) -> str:
    """`low` or `high` where the chosen value ends its grid: a better one may lie beyond.

    A grid of two values has nothing but ends, so it is flagged from three values on.
    """
    values = sorted({getattr(trial.recipe, key) for trial in cell.trials})
    if len(values) < 3:
        return ""
    value = getattr(chosen.recipe, key)
    return {values[0]: "low", values[-1]: "high"}.get(value, "")


def trial_recipe(run: Run) -> Finetune:
    assert isinstance(run.recipe, Finetune), f"run {run.id} is not a fine-tuning"
    return run.recipe


def partly_done(cells: Sequence[Cell], tried: Collection[str]) -> list[tuple[Cell, int]]:
    """Cells with some but not all trials finished or diverged, with how many of them are."""
    counts = [(cell, sum(trial.id in tried for trial in cell.trials)) for cell in cells]
    return [(cell, n) for cell, n in counts if 0 < n < len(cell.trials)]


def all_diverged(cells: Sequence[Cell], diverged: Collection[str]) -> list[Cell]:
    """Cells that no trial is left to choose from, and waiting will not help."""
    return [cell for cell in cells if all(trial.id in diverged for trial in cell.trials)]
