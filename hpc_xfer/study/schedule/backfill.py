"""Choose what starts next: the order of submission, and backfill by time limits."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from hpc_xfer.study.schedule.array_jobs import SimulatedArray
from hpc_xfer.study.schedule.submission import SubmittedPart

Held = Collection[tuple[float, int]]  # of each job that runs: when its limit ends it, and its GPUs


@dataclass
class _Reservation:
    """The place of the first job that does not fit."""

    start: float  # at the latest
    beside: int  # GPUs that are left for others then

    def allows(self, array: SimulatedArray, now: float) -> bool:
        return now + array.limit <= self.start or array.gpus <= self.beside

    def give(self, array: SimulatedArray, now: float) -> None:
        if now + array.limit > self.start:
            self.beside -= array.gpus


def startable(
    pending: Sequence[SubmittedPart], now: float, free: int, held: Held
) -> Iterator[SubmittedPart]:
    """Yield a part once for each of its elements that starts now; the caller starts it at once.

    Behind the first job that does not fit, a later one starts only where that delays it in no way.
    """
    reserved: _Reservation | None = None
    for part in pending:
        array = part.array
        while part.may_start and array.gpus <= free:
            if reserved is not None:
                if not reserved.allows(array, now):
                    break
                reserved.give(array, now)
            free -= array.gpus
            yield part
        if free <= 0:
            return
        if reserved is None and part.may_start and array.gpus > free:
            reserved = _reservation(array.gpus, free, held)


def _reservation(gpus: int, free: int, held: Held) -> _Reservation:
    for ends_by, count in sorted(held):
        free += count
        if free >= gpus:
            return _Reservation(ends_by, free - gpus)
    return _Reservation(math.inf, 0)
