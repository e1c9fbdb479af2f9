"""Steps of curves of accuracy against shots: the shots; full data are at their images per class."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpc_xfer.results.answers.labels_saved import images_per_class
from hpc_xfer.results.answers.terms import FULL
from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.tables.csv_files import Row


@dataclass(frozen=True)
class ShotSteps:
    """The step at which each number of shots is drawn."""

    largest: int  # number of shots
    full: Mapping[str, int]  # data set -> step of full data, where it has them

    def of(self, dataset: str, shots: str) -> int:
        return self.full[dataset] if shots == FULL else int(shots)

    def name(self, shots: str) -> str:
        """Name shots so that 5 sorts before 10: `shots 05`, `shots 10`, `shots full`."""
        width = len(str(self.largest))
        return f"shots {shots if shots == FULL else shots.zfill(width)}"


def shot_steps(averages: Sequence[Average], cells: Iterable[Row]) -> ShotSteps:
    """Choose the steps.

    `full` is at the training images per class, rounded; for the mean of data sets, at the mean of
    theirs. Where the tables do not say it, or where it is not above the largest number of shots,
    `full` is at the next power of ten.
    """
    largest = max((int(a.shots) for a in averages if a.shots != FULL), default=0)
    known = images_per_class(cells)
    if known:
        known[MEAN] = statistics.fmean(known.values())
    full = {a.dataset: round(known.get(a.dataset, 0)) for a in averages if a.shots == FULL}
    above = 10 ** len(str(largest))
    return ShotSteps(largest, {n: step if step > largest else above for n, step in full.items()})
