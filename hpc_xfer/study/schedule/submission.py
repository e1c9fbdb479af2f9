"""The queue of a simulated cluster, and the elements that wait for a relay to submit them."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hpc_xfer.study.schedule.array_jobs import SimulatedArray
from hpc_xfer.study.schedule.cluster import SimulatedCluster


@dataclass(eq=False)
class SubmittedPart:
    """Elements of one array that were submitted together: one call of sbatch."""

    number: int  # in the order of submission
    place: int  # of its array in the list
    array: SimulatedArray
    waiting: deque[float]  # seconds of work that are left of each element that does not run
    size: int
    before: "SubmittedPart | None" = None  # that must end first
    running: int = 0
    ended: int = 0

    @property
    def may_start(self) -> bool:
        at_once = self.array.at_once
        return bool(self.waiting) and (at_once is None or self.running < at_once)

    @property
    def is_over(self) -> bool:
        return self.ended == self.size

    def start(self) -> float:
        """Take the next element and return its work."""
        self.running += 1
        return self.waiting.popleft()


@dataclass
class SubmissionQueue:
    """Submits parts in the order of the arrays, as far as the limits of Slurm go.

    The relay submits the rest. It runs when the first of the jobs in the queue has ended, and
    once more when the last has.
    """

    arrays: Sequence[SimulatedArray]
    cluster: SimulatedCluster
    in_queue: int = 0  # elements
    numbers: int = 0
    parts: list[SubmittedPart] = field(default_factory=list)  # submitted, and not yet eligible
    last: dict[int, SubmittedPart] = field(default_factory=dict)  # of each array, by its place

    def __post_init__(self) -> None:
        self.left = [len(array.seconds) for array in self.arrays]  # elements that have not ended
        self.unsubmitted = self.unfinished = sum(self.left)
        self.submitted = [0] * len(self.arrays)  # elements
        self.is_in_queue = [False] * len(self.arrays)
        self.relay_is_due = True

    def fill(self) -> None:
        """Submit what fits. A child whose parent did not fit waits with it."""
        for place, array in enumerate(self.arrays):
            while self.submitted[place] < len(array.seconds):
                if not all(self.is_in_queue[parent] for parent in array.parents):
                    break
                room = self._room()
                if room <= 0:
                    break
                self._submit(place, min(self.cluster.array_size, room))
        self.relay_is_due = True

    def _room(self) -> int:
        most = self.cluster.most_jobs
        return self.cluster.array_size if most is None else most - 1 - self.in_queue  # the relay's

    def _submit(self, place: int, count: int) -> None:
        array, begin = self.arrays[place], self.submitted[place]
        seconds = array.seconds[begin : begin + count]
        # Slurm limits each call of sbatch to `at_once`, so launch lets them run one after another.
        before = self.last.get(place) if array.at_once is not None else None
        part = SubmittedPart(self.numbers, place, array, deque(seconds), len(seconds), before)
        self.parts.append(part)
        self.last[place] = part
        self.numbers += 1
        self.submitted[place] += len(seconds)
        self.unsubmitted -= len(seconds)
        self.in_queue += len(seconds)
        self.is_in_queue[place] = True

    def take_eligible(self) -> Iterator[SubmittedPart]:
        """Yield, once each, the parts whose parents have succeeded and whose lane is free."""
        found = [part for part in self.parts if self._is_eligible(part)]
        taken = set(map(id, found))
        self.parts = [part for part in self.parts if id(part) not in taken]
        yield from found

    def _is_eligible(self, part: SubmittedPart) -> bool:
        array = part.array
        before = [*array.parents, *([] if array.after is None else [array.after])]
        is_first = part.before is None or part.before.is_over
        return is_first and not any(self.left[place] for place in before)

    def finish_element(self, part: SubmittedPart) -> bool:
        """Note the end of an element; True where a relay starts now."""
        part.ended += 1
        self.in_queue -= 1
        self.left[part.place] -= 1
        self.unfinished -= 1
        is_early = self.unsubmitted > 0 and part.is_over and self.relay_is_due
        if not self.unfinished or is_early:
            self.relay_is_due = False
            return True
        return False
