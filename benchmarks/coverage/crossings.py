"""Judge Fieller's set for how many times more samples reach another encoder: right, of use?

Five sizes on a true line of 8 points per decade, and a reference that the line reaches at a known
multiple of the smallest size. All share their draws, as in a study.
"""

import math
from collections.abc import Mapping

import numpy as np

from benchmarks.coverage.designs import LABELS, Design, Study, simulate
from benchmarks.coverage.statements import Tally
from hpc_xfer.results.estimators.crossed import crossed
from hpc_xfer.results.estimators.slope import crossing, fit_line

SIZES = (1.0, 2.7, 5.0, 7.5, 15.0)
DECADE = 8.0  # points
FACTORS = (3.0, 10.0)


def judge_crossing(study: Study, tally: Tally) -> None:
    """Count whether the set has the true multiple; the first label is the reference."""
    reference, *sizes = LABELS[: 1 + len(SIZES)]
    tables = study.tables[0]
    matter = study.design.draws_matter
    goal = crossed(tables[reference], matter)
    means = [crossed(tables[label], matter).value for label in sizes]
    ends = goal.interval()
    if ends is None:
        return
    line = fit_line(zip(SIZES, means, strict=True))
    found = crossing(line, goal.value, (ends[1] - ends[0]) / 2)
    above = 100 * (_truth(study)[reference] - study.truths["E2"][sizes[0]])
    true = 10 ** (above / DECADE)
    low = -math.inf if found.low is None else found.low
    high = math.inf if found.high is None else found.high
    tally.add("crossing", low <= true <= high)
    tally.add("crossing, more than", found.censored == "above")
    tally.add("crossing, both ends", found.low is not None and found.high is not None)


def crossings(
    design: Design, factor: float, repetitions: int, random: np.random.Generator
) -> Tally:
    """Count over many studies with a true multiple."""
    tally = Tally()
    effects = [DECADE * math.log10(x) for x in (factor, *SIZES)]
    for study in simulate(design, effects, repetitions, random, images_differ=False):
        judge_crossing(study, tally)
    return tally


def _truth(study: Study) -> Mapping[str, float]:
    return study.truths["E1" if study.design.seeds == 1 else "E2"]
