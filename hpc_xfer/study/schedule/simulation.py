"""Simulate the schedule of a study on a cluster: no clock, no threads, one result per seed.

    timeline = simulate(arrays, SimulatedCluster(gpus=64))
    timeline.finished, timeline.stage_ends

Slurm starts what fits in the order of submission, and lets a later job go first where that delays
no earlier one (backfill, by time limits). GPUs are one pool, whatever nodes they are in.
"""

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from hpc_xfer.errors import StudyError
from hpc_xfer.study.costs.ranges import Range
from hpc_xfer.study.schedule.array_jobs import SimulatedArray
from hpc_xfer.study.schedule.backfill import startable
from hpc_xfer.study.schedule.cluster import SimulatedCluster
from hpc_xfer.study.schedule.submission import SubmissionQueue, SubmittedPart
from hpc_xfer.study.schedule.timeline import Timeline
from hpc_xfer.system.terminal import counted

_LEAST_PROGRESS = 60.0  # seconds of work that a job does before its time limit, however short
# Starts of an element that are simulated one by one; of a longer one (a typing error in `epochs`)
# as many are taken together, else it would take minutes.
_MOST_STARTS = 1000
_DAY = 86_400.0


def simulate(arrays: Sequence[SimulatedArray], cluster: SimulatedCluster) -> Timeline:
    """Run the arrays to their end.

    Raises:
        StudyError: a job needs more GPUs than there are, or none fits into the queue.
    """
    room = cluster.most_jobs
    if arrays and room is not None and room < 2:
        raise StudyError(
            f"the queue takes {counted(room, 'job')} of yours, and a study needs two: the relay "
            "and one that trains; raise slurm.max_jobs of the site file, or ask your cluster for "
            "a higher MaxSubmitJobs"
        )
    most = max((array.gpus for array in arrays), default=0)
    if most > cluster.gpus:
        raise StudyError(
            f"a job needs {most} GPUs and there are {cluster.gpus}; give --gpus {most} or more, or "
            "lower resources.pretrain.gpus"
        )
    return _Simulation(arrays, cluster).run()


@dataclass(order=True)
class _Event:
    time: float
    number: int  # events of one moment come in the order in which they were made
    kind: Literal["eligible", "schedule", "end", "relay"] = field(compare=False)
    part: SubmittedPart | None = field(compare=False, default=None)
    attempt: "_Attempt | None" = field(compare=False, default=None)


@dataclass
class _Attempt:
    """One start of an element."""

    seconds_left: float  # of work after this attempt; 0 where it ends the element
    ends_by: float  # by its time limit
    starts: int = 1  # that are taken together


class _Simulation:
    def __init__(self, arrays: Sequence[SimulatedArray], cluster: SimulatedCluster) -> None:
        self.arrays, self.cluster = arrays, cluster
        self.random = random.Random(cluster.seed)
        self.submission = SubmissionQueue(arrays, cluster)
        self.events: list[_Event] = []
        self.made = 0
        self.now = 0.0
        self.free = cluster.gpus
        self.pending: list[SubmittedPart] = []  # that may start, in the order of submission
        self.running: dict[int, tuple[float, int]] = {}  # attempt -> ends by, GPUs
        self.is_scheduled = False
        self.stage_ends: dict[str, float] = {}
        self.busy: list[tuple[float, int]] = [(0.0, 0)]
        self.preempted = self.requeued = 0

    def run(self) -> Timeline:
        self._submit()
        while self.events:
            event = heapq.heappop(self.events)
            self.now = event.time
            if event.kind == "eligible":
                assert event.part is not None
                self._insert(event.part, event.attempt)
                self._schedule_soon()
            elif event.kind == "schedule":
                self._schedule()
            elif event.kind == "relay":
                self._submit()
            else:
                assert event.part is not None and event.attempt is not None
                self._end(event.part, event.attempt)
        return Timeline(
            self.now, self.stage_ends, tuple(self.busy), self.preempted, self.requeued
        )  # fmt: skip

    def _draw(self, within: Range) -> float:
        if within.low == within.high:  # takes no number, so that others stay as they are
            return within.low
        return self.random.uniform(within.low, within.high)

    def _push(
        self, delay: float, kind: Literal["eligible", "schedule", "end", "relay"],
        part: SubmittedPart | None = None, attempt: _Attempt | None = None,
    ) -> None:  # fmt: skip
        self.made += 1
        heapq.heappush(self.events, _Event(self.now + delay, self.made, kind, part, attempt))

    def _submit(self) -> None:
        """Launch or relay: submit what fits into the queue."""
        self.submission.fill()
        self._release()

    def _release(self) -> None:
        """Let parts wait for GPUs whose parents and predecessors have ended."""
        for part in self.submission.take_eligible():
            self._push(self._draw(self.cluster.queue_wait), "eligible", part)

    def _insert(self, part: SubmittedPart, requeued: _Attempt | None) -> None:
        """Let the elements of a part wait, or one that was requeued, in the order of submission."""
        if requeued is not None:
            part.waiting.appendleft(requeued.seconds_left)
        if part not in self.pending:
            self.pending.append(part)
            self.pending.sort(key=lambda each: each.number)

    def _schedule_soon(self) -> None:
        if not self.is_scheduled and self.pending:
            self.is_scheduled = True
            self._push(self._draw(self.cluster.scheduler_seconds), "schedule")

    def _schedule(self) -> None:
        """Start what fits; see backfill.py."""
        self.is_scheduled = False
        held = self.running.values()
        for part in startable(self.pending, self.now, self.free, held):
            self._start(part)
        self.pending = [part for part in self.pending if part.waiting]

    def _start(self, part: SubmittedPart) -> None:
        cluster, array = self.cluster, part.array
        work = part.start()
        begin, end = (
            array.start + self._draw(cluster.start_seconds),
            self._draw(cluster.end_seconds),
        )
        usable = max(_LEAST_PROGRESS, array.limit - cluster.signal_seconds - begin)
        starts = max(1, math.ceil(work / usable / _MOST_STARTS))
        begin, usable = starts * begin, starts * usable
        done, tail = min(work, usable), end if work <= usable else 0.0
        taken = begin + done + tail
        requeues = starts - (work <= usable)
        preempted = self._preempted_after()
        if preempted < taken:
            self.preempted += 1
            requeues = 0
            worked = min(done, max(0.0, preempted - begin / starts))
            done = max(0.0, worked - self.random.uniform(0.0, array.lost_seconds))
            taken = preempted
        self.requeued += requeues
        ends_by = self.now + min(starts * array.limit, 2 * taken + _DAY)
        attempt = _Attempt(work - done, ends_by, starts)
        self.free -= array.gpus
        self.running[id(attempt)] = (attempt.ends_by, array.gpus)
        self._note_busy()
        self._push(taken, "end", part, attempt)

    def _preempted_after(self) -> float:
        rate = self.cluster.preempt_per_day / _DAY
        return self.random.expovariate(rate) if rate else math.inf

    def _end(self, part: SubmittedPart, attempt: _Attempt) -> None:
        """Free the GPUs; the element is done, or waits to be started again."""
        del self.running[id(attempt)]
        self.free += part.array.gpus
        self._note_busy()
        part.running -= 1
        if attempt.seconds_left > 0:
            wait = self.cluster.requeue_seconds + self._draw(self.cluster.queue_wait)
            self._push(attempt.starts * wait, "eligible", part, attempt)
        else:
            self.stage_ends[part.array.stage] = self.now
            if self.submission.finish_element(part):
                wait = self._draw(self.cluster.scheduler_seconds)
                self._push(wait + self._draw(self.cluster.relay_seconds), "relay")
            if part.is_over:
                self._release()
        self._schedule_soon()

    def _note_busy(self) -> None:
        busy = self.cluster.gpus - self.free
        if self.busy[-1][0] == self.now:
            self.busy[-1] = (self.now, busy)
        else:
            self.busy.append((self.now, busy))
