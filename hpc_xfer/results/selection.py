"""Choose one value per question by validation accuracy, never by test accuracy.

The choice is pooled: one value for all draws of an encoder, data set and shot count, by the mean
over the draws. With a handful of validation images a choice per draw would mostly follow their
luck. The paper's tables took the best of all epochs and learning rates on the test set; only a
study under `protocol: paper` does so here, and its tables say it.
"""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from hpc_xfer.config.finetune_recipes import KNN
from hpc_xfer.config.protocols import Choose
from hpc_xfer.results.cells import Cell, Measured, Outcome, Value
from hpc_xfer.study.plan import Run


@dataclass(frozen=True)
class Choice:
    """The value that was chosen for a complete cell, and how the others did."""

    outcome: Outcome
    value: Value
    edges: Mapping[str, str]  # chosen key -> low | high | "" (see `_edge`)
    draws: int  # that the choice was made over
    test_mean_of_values: float
    test_best_of_values: float  # what selection on the test set would have reported
    bias: float | None = None  # of selection on test against validation; paper protocol alone

    @property
    def cell(self) -> Cell:
        return self.outcome.cell

    @cached_property
    def measured(self) -> Measured:
        return self.outcome.at(self.value)

    @property
    def run(self) -> Run:
        return self.measured.run

    def metric(self, name: str) -> float | None:
        return self.measured.metric(name)

    @property
    def test_top1(self) -> float:
        accuracy = self.metric("test_top1")
        assert accuracy is not None, "usable records have it"
        return accuracy

    def lost(self, why: str) -> int:
        """Count the values that diverged, or did not converge."""
        return sum(reason == why for reason in self.outcome.lost.values())


def choose_all(outcomes: Sequence[Outcome | None], choose: Choose) -> list[Choice | None]:
    """Choose a value for each cell that is complete.

    Args:
        outcomes: one per cell; None for a cell that is not complete.
        choose: pooled over draws, or each draw on its own.
    """
    pools: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome is not None and outcome.measured:
            pools.setdefault(_pool(outcome, choose), []).append(outcome)
    values = {key: _best(pool) for key, pool in pools.items()}
    return [
        None
        if outcome is None
        or (best := values.get(_pool(outcome, choose))) is None
        or not outcome.measured
        else _choice(outcome, best, len(pools[_pool(outcome, choose)]))
        for outcome in outcomes
    ]


def _pool(outcome: Outcome, choose: Choose) -> tuple[object, ...]:
    cell = outcome.cell
    return cell.pool if choose == "pooled" else (*cell.pool, cell.recipe.draw)


def _best(pool: Sequence[Outcome]) -> Value | None:
    """The best value over the draws of a pool; None if none was measured in every draw.

    Higher mean accuracy, lower mean loss, then the simpler classifier, which is the larger penalty,
    the larger number of neighbors, the smaller learning rate.
    """
    common = set.intersection(*(set(outcome.measured) for outcome in pool))
    metric = "test_top1" if _chosen_on_test(pool[0]) else "val_top1"
    accuracies = [outcome.metric(metric) for outcome in pool]
    losses = [outcome.metric("val_nll") for outcome in pool]
    ranks = {
        value: _rank([each[value] for each in accuracies], [each[value] for each in losses])
        for value in common
    }
    least = min(ranks.values(), default=None)
    best = [value for value in common if ranks[value] == least]
    return min(best, key=lambda value: (_simplicity(value), _first_run(value, pool)), default=None)


def _rank(
    accuracies: Sequence[float | None], losses: Sequence[float | None]
) -> tuple[float, float]:
    accuracy, loss = _mean(accuracies), _mean(losses)
    return -accuracy if accuracy is not None else 0.0, 0.0 if loss is None else loss


def _simplicity(value: Value) -> list[float]:
    return [-number if key in ("l2", "k") else number for key, number in value]


def _first_run(value: Value, pool: Sequence[Outcome]) -> str:
    return min(outcome.at(value).run.id for outcome in pool)


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of shares, rounded so that sums in another order cannot turn a tie."""
    if None in values:
        return None
    return round(math.fsum(cast("Sequence[float]", values)) / len(values), 12)


def _choice(outcome: Outcome, best: Value, draws: int) -> Choice:
    tests = outcome.metric("test_top1").values()
    test = sorted(value for value in tests if value is not None)
    return Choice(
        outcome=outcome,
        value=best,
        edges={key: _edge(outcome, key, value) for key, value in best},
        draws=draws,
        test_mean_of_values=statistics.fmean(test),
        test_best_of_values=test[-1],
        bias=_bias(outcome, best) if _chosen_on_test(outcome) else None,
    )


def _chosen_on_test(outcome: Outcome) -> bool:
    return getattr(outcome.cell.recipe, "select", "validation") == "test"


def _bias(outcome: Outcome, chosen: Value) -> float | None:
    """Test accuracy as selected on test, minus that of the value and epoch of validation."""
    by_val = "val_top1_by_val"
    rivals = [
        found for found in map(outcome.at, outcome.measured) if found.metric(by_val) is not None
    ]
    if not rivals:
        return None
    by_validation = max(rivals, key=lambda found: (found.metric(by_val) or 0.0, found.run.id))
    honest = by_validation.metric("test_top1_by_val")
    reported = outcome.at(chosen).metric("test_top1")
    return None if honest is None or reported is None else reported - honest


def _edge(outcome: Outcome, key: str, chosen: float) -> str:
    """Return `low` or `high` where the chosen value is at that end of its grid, else empty.

    At an end, a better value may lie beyond. A grid of two values has nothing but ends. Fewer than
    one neighbor there are not, nor more than the training images, at which the path is cut.
    """
    recipe = outcome.cell.recipe
    if isinstance(recipe, KNN) and chosen != max(recipe.path_values):
        return ""
    values = set(outcome.tried(key))
    if len(values) < (2 if recipe.val_seed is None else 3):  # 3: as tables of version 0.1 have it
        return ""
    return {min(values): "low", max(values): "high"}.get(chosen, "")


def partly_done(cells: Sequence[Cell], waited_for: Collection[str]) -> list[tuple[Cell, int]]:
    """Cells that wait for some of their trials but not all, with how many are finished or diverged.

    Args:
        cells: to look at.
        waited_for: ids of the runs without a result, but for those that diverged.
    """
    counts = [(cell, sum(trial.id not in waited_for for trial in cell.trials)) for cell in cells]
    return [(cell, n) for cell, n in counts if 0 < n < len(cell.trials)]
