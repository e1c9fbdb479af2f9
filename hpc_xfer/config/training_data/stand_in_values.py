"""Values of columns in a stand-in for a source, so that every selection leaves enough samples.

    column = stand_in_columns(selections)["clip_score"]
    column.value(17)         # of sample number 17; above and below each threshold are some

A pure function of what a study selects: a list of keys can be written, and its digest told, before
there are any samples.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from hpc_xfer.config.training_data.columns import number_text
from hpc_xfer.config.training_data.selection import KEY, SampleSelection

# A selection may draw more.
CLASSES = ("badger", "bobcat", "cat", "coyote", "deer", "dog", "fox", "raven")
MOST_SAMPLES = 1 << 14  # of a stand-in; also the samples that a list of keys may name
_WITHOUT_VALUE = 1 / 16  # share of the samples that lack a value, as in real sources


@dataclass(frozen=True)
class StandInColumn:
    """A column that selections read."""

    name: str
    thresholds: tuple[float, ...] = ()  # of `above` and `below`, ascending
    is_number: bool = False  # else texts, each of which two samples have

    def value(self, number: int) -> float | str:
        """Return the value of a sample."""
        if self.name == KEY:
            return sample_key(number)
        if not self.is_number:
            return f"{self.name} {number // 2}"
        place = _place(self.name, number) * (len(self.thresholds) + 1)
        return self._between(int(place), place % 1.0)

    def is_missing(self, number: int) -> bool:
        """Tell whether a sample has no value in this column."""
        return self.name != KEY and _place(f"without {self.name}", number) < _WITHOUT_VALUE

    def listed(self, share: float) -> str:
        """Return a list of keys with this share of the values; a smaller one is inside a larger."""
        values = dict.fromkeys(self.value(number) for number in range(MOST_SAMPLES))
        texts = [value if isinstance(value, str) else number_text(value) for value in values]
        kept = (text for text in texts if _place("listed", text) < share)
        return "".join(f"{text}\n" for text in kept)

    def _between(self, band: int, share: float) -> float:
        """Return a number between two thresholds, below the first or above the last."""
        ends = self.thresholds
        if not ends:
            return share
        if band == 0:
            return ends[0] - max(1.0, abs(ends[0])) * share  # the threshold itself is left out
        if band == len(ends):
            return ends[-1] + max(1.0, abs(ends[-1])) * (0.1 + share)
        return ends[band - 1] + (ends[band] - ends[band - 1]) * (0.1 + 0.8 * share)


def stand_in_columns(selections: Iterable[SampleSelection]) -> dict[str, StandInColumn]:
    """Collect the columns of all selections of a study, by name."""
    thresholds: dict[str, set[float]] = {}
    numbers: set[str] = set()
    for selection in selections:
        for name in selection.columns:
            thresholds.setdefault(name, set())
        limits = [*(selection.above or {}).items(), *(selection.below or {}).items()]
        for name, value in limits:
            thresholds[name].add(value)
        numbers |= {*(name for name, _ in limits), *(selection.best or ())}
    return {
        name: StandInColumn(name, tuple(sorted(values)), name in numbers)
        for name, values in thresholds.items()
    }


def sample_key(number: int) -> str:
    """Return the key of a sample of a stand-in."""
    return f"{number:09d}"


def _place(what: str, of: object) -> float:
    """Return a number from 0 to 1 that looks drawn, and is the same each time."""
    digest = hashlib.blake2b(f"{what} {of}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "little") / 2**48
