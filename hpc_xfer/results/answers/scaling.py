"""scaling.csv: what ten times more samples add, and how many times more reach another encoder.

A released encoder with stated samples, and any other pre-training, takes part as a reference.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hpc_xfer.results.answers.rows import Scaling
from hpc_xfer.results.answers.series import Series, all_series
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.estimators.estimate import Estimate, Target
from hpc_xfer.results.estimators.slope import Crossing, Line, crossing, fit_line
from hpc_xfer.study.labels import short_count

Place = tuple[str, str, str]  # mode, data set, shots
Table = Mapping[Place, Mapping[EncoderInfo, Average]]
OTHER_SETS = "the means are over different data sets"
OPEN = "the interval is wider than what was measured"
SCATTER = "the interval is from the scatter of the sizes about their line alone"


@dataclass(frozen=True)
class FittedSeries:
    """A series at one place: its line and the averages that the line goes through."""

    series: Series
    place: Place
    averages: tuple[Average, ...]  # ascending by samples, one per size
    line: Line | None  # None where the means are over different data sets
    lacks: str = ""  # which sizes have no result

    @property
    def smallest(self) -> int:
        return self.averages[0].encoder.samples or 0

    @property
    def largest(self) -> int:
        return self.averages[-1].encoder.samples or 0


def scaling_rows(averages: Sequence[Average]) -> list[Scaling]:
    """Make all slopes, then all crossings, in the order of the averages.

    Each series is held against every encoder that is not of it, scratch left out, of the same
    mode, data set and shots.
    """
    table = by_place(averages)
    fitted = [
        found
        for series in all_series(average.encoder for average in averages)
        for place, at in table.items()
        if (found := _fit(series, place, at))
    ]
    slopes = [_slope(found) for found in fitted]
    return slopes + [
        _crossing(found, reference)
        for found in fitted
        for reference in table[found.place].values()
        if reference.encoder not in found.series.encoders and reference.encoder.method != "scratch"
    ]


def by_place(averages: Iterable[Average]) -> dict[Place, dict[EncoderInfo, Average]]:
    """Group the averages of finished encoders that have a mean by where they were measured."""
    table: dict[Place, dict[EncoderInfo, Average]] = {}
    for average in averages:
        if average.interval is not None and average.encoder.snapshot is None:
            place = (average.mode, average.dataset, average.shots)
            table.setdefault(place, {})[average.encoder] = average
    return table


def weakest(averages: Iterable[Average]) -> Target:
    """Name what an interval from several averages covers at most: E2 only if each of them does."""
    targets = {average.target for average in averages}
    if targets == {"E2"}:
        return "E2"
    return "E1" if targets & {"E1", "E2"} else ""


def same_sets(averages: Sequence[Average]) -> bool:
    """True if all are means of the same data sets."""
    return len({(average.datasets, average.left_out) for average in averages}) == 1


def half_of(average: Average) -> float | None:
    """Return half the width of its interval, as a share; None without one."""
    return average.interval.half if average.interval else None


def mean_of(average: Average) -> float:
    assert average.interval is not None, "by_place keeps no other"
    return average.interval.mean


def around(found: Crossing, low: str, high: str) -> str:
    """Say the interval in brackets after a statement; nothing where there is none.

    Args:
        low: the lower end in words, of use only if it is not open; `high` too.
    """
    if not found.certain:
        return ""
    if found.low is not None and found.high is not None:
        return f" ({low} to {high})"
    if found.low is not None:
        return f" (at least {low})"
    if found.high is not None:
        return f" (at most {high})"
    return f" ({OPEN})"


def is_open(found: Crossing) -> bool:
    """True if nothing is known: neither a value nor an end of the interval was measured."""
    return found.certain and found.value is None and found.low is None and found.high is None


def rounded(value: float) -> str:
    """Round to two digits or a whole number: 0.42, 1.0, 2.4, 24, 2,400; `1` is exactly 1."""
    if value >= 9.95 or math.isclose(value, round(value)):
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 0.95 else f"{value:.1f}"


def _fit(series: Series, place: Place, at: Mapping[EncoderInfo, Average]) -> FittedSeries | None:
    """Fit the line of a series at one place; None with fewer than two sizes."""
    found = tuple(at[encoder] for encoder in series.encoders if encoder in at)
    if len(found) < 2:
        return None
    if not same_sets(found):
        return FittedSeries(series, place, found, None)
    lacks = [short_count(e.samples or 0) for e in series.encoders if e not in at]
    line = fit_line((average.encoder.samples or 0, mean_of(average)) for average in found)
    said = f"no result of {', '.join(lacks)}" if lacks else ""
    return FittedSeries(series, place, found, line, said)


def _blank(found: FittedSeries) -> Scaling:
    mode, dataset, shots = found.place
    return Scaling(
        kind="slope",
        series=found.series.label,
        reference="",
        mode=mode,
        dataset=dataset,
        shots=shots,
        sizes=len(found.averages),
        smallest=found.smallest,
        largest=found.largest,
        value=None,
        ci95_low=None,
        ci95_high=None,
        base=None,
        censored="",
        fit=None,
        freedom=None,
        target="",
        text=f"cannot be said: {OTHER_SETS}",
        why=OTHER_SETS,
    )


def _slope(found: FittedSeries) -> Scaling:
    if found.line is None:
        return _blank(found)
    slope = found.line.slope
    ends = slope.interval()
    target = weakest(found.averages) if ends else ""
    return replace(
        _blank(found),
        value=slope.value,
        ci95_low=ends[0] if ends else None,
        ci95_high=ends[1] if ends else None,
        fit=found.line.fit,
        freedom=slope.freedom,
        target=target,
        text=_slope_text(found.series.label, slope),
        why=joined(found.lacks, slope.why, SCATTER if ends and not target else ""),
    )


def _slope_text(series: str, slope: Estimate) -> str:
    ends = slope.interval()
    sign = 1 if slope.value >= 0 else -1
    said = f"{'add' if sign > 0 else 'take off'} {100 * abs(slope.value):.1f} points"
    if ends is None:
        said += f" ({slope.why})"
    else:
        low, high = sorted(100 * sign * end for end in ends)
        said += f" ({low:.1f} to {high:.1f})"
        said += "; not told apart from no effect" if ends[0] <= 0 <= ends[1] else ""
    return f"ten times more samples of {series} {said}"


def _crossing(fitted: FittedSeries, reference: Average) -> Scaling:
    """Find how many times more samples of the series reach the accuracy of the reference."""
    blank = replace(_blank(fitted), kind="crossing", reference=reference.label)
    if fitted.line is None or not same_sets([*fitted.averages, reference]):
        return blank
    half = half_of(reference)
    found = crossing(fitted.line, mean_of(reference), half or 0.0)
    base = reference.encoder.samples or fitted.smallest
    exact = found.certain and half is None
    target = weakest([*fitted.averages, reference]) if found.certain else ""
    other = reference.encoder.arch != fitted.series.encoders[0].arch
    return replace(
        blank,
        value=_times(found.value, base),
        ci95_low=_times(found.low, base),
        ci95_high=_times(found.high, base),
        base=base,
        censored=found.censored,
        freedom=fitted.line.slope.freedom,
        target=target,
        text=_crossing_text(fitted, reference, found, base),
        why=joined(
            fitted.lacks,
            found.why,
            f"{reference.label} has no interval and is taken as exact" if exact else "",
            SCATTER if found.certain and not target else "",
            "the architectures differ" if other else "",
        ),
    )


def _crossing_text(fitted: FittedSeries, reference: Average, found: Crossing, base: int) -> str:
    series, smallest = fitted.series.label, short_count(fitted.smallest)
    goal = f"reach the accuracy of {reference.label}"
    low, high = (rounded(end / base) if end else "" for end in (found.low, found.high))
    stated = reference.encoder.samples is not None
    if is_open(found):
        return f"it cannot be said how many samples of {series} {goal}: {OPEN}"
    if found.censored == "below":
        unit = f"as many samples as {reference.label}" if stated else "that size"
        ends = around(found, low, f"{high} times {unit}")
        return f"the smallest size of {series}, {smallest}, is enough to {goal}{ends}"
    ends = around(found, low, high)
    if found.value is None and fitted.largest < base:
        return f"{series} does not {goal} with up to {short_count(fitted.largest)} samples"
    if found.value is None:
        sure = found.low is not None and found.low < 0.95 * fitted.largest
        times = f"more than {rounded(fitted.largest / base)} times{ends if sure else ''}"
    else:
        times = f"{rounded(found.value / base)} times{ends}"
    if not stated:
        return f"{series} takes {times} its smallest size, {smallest}, to {goal}"
    return f"{series} takes {times} as many samples as {reference.label} to reach its accuracy"


def _times(samples: float | None, base: int) -> float | None:
    return None if samples is None else samples / base


def joined(*notes: str) -> str:
    """Join the notes that are not empty, each once."""
    return "; ".join(dict.fromkeys(note for note in notes if note))
