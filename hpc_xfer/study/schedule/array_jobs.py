"""Job arrays as the simulation knows them, made from the costs of a study."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpc_xfer.study.costs.ranges import Range
from hpc_xfer.study.costs.stages import ArrayCost
from hpc_xfer.study.plan import Plan


@dataclass(frozen=True)
class SimulatedArray:
    """An array of elements that need as many GPUs and have one time limit."""

    stage: str
    gpus: int
    seconds: tuple[float, ...]  # of work of each element
    start: float = 0.0  # seconds of each job before its work
    limit: float = math.inf  # seconds
    parents: tuple[int, ...] = ()  # places of arrays in the list that must succeed first
    at_once: int | None = None  # elements that may run at the same time
    after: int | None = None  # place of an array that must end first
    lost_seconds: float = 0.0  # of work at most, where an element is preempted


def arrays_to_simulate(
    arrays: Sequence[ArrayCost],
    plans: Sequence[Plan],
    end: Callable[[Range], float],
    start_minutes: float = 5.0,
    max_minutes: float | None = None,
) -> list[SimulatedArray]:
    """Make the arrays of a simulation, in the order in which a launch submits them.

    Args:
        plans: whole, with the runs that are done.
        end: takes the end of each range: `lambda seconds: seconds.high`.
        start_minutes: that each time limit has beside the minutes of the plan.
        max_minutes: the site's limit.
    """
    places: dict[str, int] = {}
    lanes = [_Lanes(plan) for plan in plans]
    found: list[SimulatedArray] = []
    for place, each in enumerate(arrays):
        array, resources = each.array, plans[each.plan].resources
        at_once, after = (None, None)
        if array.kind == "finetune":
            at_once, after = lanes[each.plan].take(array.parents[0].id, place)
        minutes = array.minutes + start_minutes
        parents = {places[run.id] for run in array.parents if run.id in places}
        found.append(
            SimulatedArray(
                stage=array.kind,
                gpus=array.gpus,
                seconds=tuple(end(item) for item in each.seconds),
                start=end(each.start),
                limit=60 * min(minutes, max_minutes or minutes),
                parents=tuple(sorted(parents)),
                at_once=at_once,
                after=after,
                lost_seconds=60 * resources.of(array.kind).checkpoint_minutes,
            )
        )
        places |= dict.fromkeys((run.id for run in array.runs), place)
    return found


class _Lanes:
    """`max_running` as scheduling/concurrency_limit.py shares it out: arrays in lanes.

    The plan is the whole one: lanes are those of all pre-trainings, whatever is done.
    """

    def __init__(self, plan: Plan) -> None:
        self.most = plan.resources.finetune.max_running
        if self.most is None:
            return
        parents = dict.fromkeys(run.id for run in plan.of("pretrain"))
        self.lanes = min(len(parents), self.most)
        self.by_parent = {run: i % self.lanes for i, run in enumerate(parents)}
        self.last: dict[int, int] = {}

    def take(self, parent: str, place: int) -> tuple[int | None, int | None]:
        """Return how many elements of an array may run at once, and the array before it."""
        if self.most is None:
            return None, None
        lane = self.by_parent[parent]
        share = self.most // self.lanes + (lane < self.most % self.lanes)
        before = self.last.get(lane)
        self.last[lane] = place
        return share, before
