"""Estimate how long a fine-tuning takes, as a range; time limits rest on cost_estimate.py alone.

times = FinetuneTimes(costs, speed, measured)
times.own(recipe, parent), times.shared(recipe, parent)    # seconds
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Pretrain
from hpc_xfer.study.cost_estimate import CostKind, RunCosts, cost_kind
from hpc_xfer.study.costs.host_pace import FAST, SLOW
from hpc_xfer.study.costs.ranges import Range
from hpc_xfer.study.costs.training_speed import TrainingSpeed

# Finished runs of a kind differ among draws and hosts; assumed.
_OF_MEASURED = Range(0.8, 1.25)


@dataclass(frozen=True)
class FinetuneTimes:
    """Seconds of fine-tunings between a fast card in a fast host and a slow one in a slow host."""

    costs: RunCosts
    speed: TrainingSpeed
    measured: Mapping[CostKind, float] = field(default_factory=dict)  # seconds of finished runs
    _fast: dict[str, RunCosts] = field(default_factory=dict)
    _slow: dict[str, RunCosts] = field(default_factory=dict)

    def own(self, recipe: Finetune, parent: Pretrain) -> Range:
        """Seconds of the run alone."""
        measured = self.measured.get(cost_kind(recipe, parent))
        if measured is not None:
            return _OF_MEASURED.scaled(measured)
        fast, slow = self._bounds(recipe.precision)
        return Range(fast.bare_seconds(recipe, parent), slow.bare_seconds(recipe, parent))

    def shared(self, recipe: Finetune, parent: Pretrain) -> Range:
        """Seconds of what the runs of a pack share: images and features, without the start."""
        fast, slow = self._bounds(recipe.precision)
        return Range(
            fast.bare_shared_seconds(recipe, parent), slow.bare_shared_seconds(recipe, parent)
        )

    def _bounds(self, precision: str) -> tuple[RunCosts, RunCosts]:
        """The costs where card and host are as fast as their ranges allow, and as slow."""
        if precision not in self._fast:
            rate, solver, speed = self.speed.of(precision), self.speed.solver, self.costs.speed
            fast = replace(speed, flops=rate.high, solver_flops=solver.high)
            slow = replace(speed, flops=rate.low, solver_flops=solver.low)
            self._fast[precision] = replace(self.costs, speed=fast, pace=FAST)
            self._slow[precision] = replace(self.costs, speed=slow, pace=SLOW)
        return self._fast[precision], self._slow[precision]
