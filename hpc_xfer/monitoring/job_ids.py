"""Read the id of a job as squeue, sacct and people write it.

asked = read_job_id("10_[0-3,7%4]")
asked.job, asked.has(2)         # "10", True
"""

import re
from dataclasses import dataclass

_FORM = re.compile(
    r"(?P<job>\d+)(?:_(?:(?P<index>\d+)|\[(?P<list>[^\]%]*)(?:%\d*)?\]?))?(?:\.\w+)?"
)


@dataclass(frozen=True)
class JobId:
    """A job, an element of an array, or some of its elements."""

    job: str  # the number of the whole job
    ranges: tuple[tuple[int, int, int], ...] | None = None  # first, last, step; None: all

    @property
    def is_whole(self) -> bool:
        return self.ranges is None

    def has(self, index: int) -> bool:
        """Tell whether it names this element of the array."""
        if self.ranges is None:
            return True
        return any(a <= index <= b and (index - a) % step == 0 for a, b, step in self.ranges)


def read_job_id(text: str) -> JobId | None:
    """Read 10, 10_3, 10_3.batch, 10_[0-3%4], 10_[0,2-6:2]; None where it is none of these.

    squeue cuts a long list: `10_[0,3,...` stands for all elements from the last number on.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    if found["index"] is not None:
        index = int(found["index"])
        return JobId(found["job"], ((index, index, 1),))
    if found["list"] is None:
        return JobId(found["job"])
    return JobId(found["job"], tuple(_ranges(found["list"])))


def _ranges(text: str) -> list[tuple[int, int, int]]:
    ranges = [
        (int(first), int(last or first), int(step or 1))
        for first, last, step in re.findall(r"(\d+)(?:-(\d+))?(?::(\d+))?", text)
    ]
    if "..." in text and ranges:
        ranges.append((ranges[-1][1], 10**9, 1))
    return ranges
