"""A range from low to high: what an estimate is, where nobody has measured yet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """A value that lies between two ends."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"a range has its low end first, got {self.low} to {self.high}")

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def scaled(self, factor: float) -> "Range":
        """Multiply both ends by a factor that is not negative."""
        return Range(self.low * factor, self.high * factor)

    def times(self, other: "Range") -> "Range":
        """Multiply low by low and high by high, both without a sign."""
        return Range(self.low * other.low, self.high * other.high)

    def at_most(self, other: "Range") -> "Range":
        """Return the lower of both at each end."""
        return Range(min(self.low, other.low), min(self.high, other.high))

    def inverse(self, amount: float = 1.0) -> "Range":
        """Divide an amount by this: the seconds of some work at a rate."""
        return Range(amount / self.high, amount / self.low)

    def as_json(self) -> list[float]:
        return [float(f"{self.low:.6g}"), float(f"{self.high:.6g}")]


NOTHING = Range(0.0, 0.0)


def exactly(value: float) -> Range:
    """A value that is known."""
    return Range(value, value)
