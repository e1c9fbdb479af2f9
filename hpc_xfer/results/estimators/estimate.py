"""An estimate: a number, its standard error, and what its interval covers.

The three targets of an interval (docs/statistics.md): E1, this checkpoint on this test set, with
the values chosen for it and other draws of the training images; E2, also other seeds of the
pre-training; E3, also other test images. A difference that was measured once on each of several
data sets has an interval over them instead: other data sets like these, with these pre-trainings
and draws.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import Literal

LEVEL = 0.95
# "": no interval; "sets": other data sets; E3 stands beside E1 and E2, in `with_images`
Target = Literal["", "sets", "E1", "E2"]


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of shares; `why` says why it has no interval.

    Two repetitions have a standard error but no interval: t is 12.7. Averaged over data sets, such
    errors are of use again.
    """

    value: float
    se: float | None = None
    freedom: float | None = None  # degrees of freedom of `se`
    target: Target = ""
    seeds: int = 1
    draws: int = 1
    why: str = ""
    image_variance: float | None = None  # of the value, over test images; None where not known

    def interval(self, critical: float | None = None) -> tuple[float, float] | None:
        """Both ends of the 95% interval; None where there is none.

        Args:
            critical: multiple of the standard error; by default Student's t for one statement.
        """
        if self.se is None or self.freedom is None or self.why:
            return None
        factor = student(self.freedom) if critical is None else critical
        return self.value - factor * self.se, self.value + factor * self.se

    def with_images(self) -> "Estimate":
        """Widen to E3; the degrees of freedom grow by the squared ratio of the variances.

        An estimate without an interval gets that of the images alone.
        """
        if self.image_variance is None:
            return self
        if self.se is None or self.freedom is None or self.why:
            return replace(self, se=math.sqrt(self.image_variance), freedom=math.inf, why="")
        own = self.se**2
        total = own + self.image_variance
        freedom = self.freedom * (total / own) ** 2 if own > 0 else math.inf
        return replace(self, se=math.sqrt(total), freedom=freedom)

    @property
    def p(self) -> float | None:
        """Two-sided p-value of "the value is 0"; None without an interval."""
        if self.se is None or self.freedom is None or self.why:
            return None
        if self.se == 0:
            return 0.0 if self.value else 1.0
        return 2 * tail(abs(self.value) / self.se, self.freedom)


Ends = tuple[float, float]


def hull(first: Ends | None, second: Ends | None) -> Ends | None:
    """Smallest interval that contains both; the one that is there, if only one is.

    An interval that covers test images too is never shown narrower than the one that does not:
    with more degrees of freedom its factor t is smaller, by more than a small variance adds.
    """
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), max(first[1], second[1])


@functools.lru_cache(maxsize=65536)
def student(freedom: float, level: float = LEVEL) -> float:
    """The factor t of a two-sided interval for so many degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    if math.isinf(freedom):
        return float(ndtri((1 + level) / 2))
    return float(stdtrit(freedom, (1 + level) / 2))


def tail(t: float, freedom: float) -> float:
    """Probability of a Student's t above `t`."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-t)) if math.isinf(freedom) else float(stdtr(freedom, -t))
