"""Labels saved: at how many shots scratch, or another encoder, reaches what an encoder has.

Curves are straight in the logarithm of the shots. Full data takes part at its training images per
class where these are known; else it is a last point at an unknown distance.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpc_xfer.results.answers.rows import Scaling
from hpc_xfer.results.answers.scaling import (
    OPEN,
    OTHER_SETS,
    around,
    by_place,
    half_of,
    is_open,
    joined,
    mean_of,
    rounded,
    same_sets,
    weakest,
)
from hpc_xfer.results.answers.series import all_series, fixed_settings
from hpc_xfer.results.answers.terms import FULL, scratch_words, shot_order, shots_text
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.estimators.interpolated import Knot, reach
from hpc_xfer.results.estimators.slope import Crossing
from hpc_xfer.results.tables.csv_files import Row

NO_SHOTS = "0"  # zero-shot: no place on a logarithmic axis
Where = tuple[str, str]  # mode, data set


@dataclass(frozen=True)
class ShotCurve:
    """The averages of one encoder, from few shots to full data."""

    encoder: EncoderInfo
    averages: tuple[Average, ...]
    shots: tuple[float | None, ...]  # per class; None for full data of unknown size


def labels_saved_rows(
    averages: Sequence[Average], per_class: Mapping[str, float] | None = None
) -> list[Scaling]:
    """Make the rows of labels saved, in the order of the averages.

    `series` is the encoder that has to reach the other, by scratch (of the same architecture, if
    the study has it) and by the largest size of each series that differs from the encoder in one
    axis beside the size. `sizes`, `smallest` and `largest` are shots of `series`.

    Args:
        per_class: data set -> training images per class in its full data.
    """
    table = by_place(averages)
    encoders = list(dict.fromkeys(average.encoder for average in averages))
    curves = _curves(table, encoders, per_class or {})
    largest = [series.encoders[-1] for series in all_series(encoders)]
    scratch = [e for e in encoders if e.method == "scratch" and e.snapshot is None]
    rivals = {
        encoder: _rivals(encoder, scratch, largest)
        for encoder in encoders
        if encoder.method != "scratch" and encoder.snapshot is None
    }
    return [
        _row(curve, goal)
        for encoder, others in rivals.items()
        for (mode, dataset, shots), at in table.items()
        if shots != NO_SHOTS and (goal := at.get(encoder))
        for other in others
        if (curve := curves.get((mode, dataset), {}).get(other))
    ]


def images_per_class(cells: Iterable[Row]) -> dict[str, float]:
    """Divide the training images of each data set at full data by its classes.

    Args:
        cells: rows of cells.csv; a data set whose rows lack the numbers is left out.
    """
    return {
        row["dataset"]: int(row["train_images"]) / int(row["classes"])
        for row in cells
        if row["shots"] == FULL and row.get("train_images") and row.get("classes")
    }


def _curves(
    table: Mapping[tuple[str, str, str], Mapping[EncoderInfo, Average]],
    encoders: Sequence[EncoderInfo],
    per_class: Mapping[str, float],
) -> dict[Where, dict[EncoderInfo, ShotCurve]]:
    measured: dict[Where, list[str]] = {}
    for mode, dataset, shots in table:
        if shots != NO_SHOTS:
            measured.setdefault((mode, dataset), []).append(shots)
    curves: dict[Where, dict[EncoderInfo, ShotCurve]] = {}
    for (mode, dataset), found in measured.items():
        order = sorted(found, key=shot_order)
        for encoder in encoders:
            at = [table[(mode, dataset, name)].get(encoder) for name in order]
            if points := tuple(average for average in at if average):
                curve = ShotCurve(encoder, points, _places(points, per_class.get(dataset)))
                curves.setdefault((mode, dataset), {})[encoder] = curve
    return curves


def _places(averages: Sequence[Average], full: float | None) -> tuple[float | None, ...]:
    few = [float(average.shots) for average in averages if average.shots != FULL]
    if len(few) == len(averages):
        return tuple(few)
    known = full is not None and full > max(few, default=0.0)  # rare classes may have fewer images
    return (*few, full if known else None)


def _rivals(
    encoder: EncoderInfo, scratch: Sequence[EncoderInfo], largest: Sequence[EncoderInfo]
) -> list[EncoderInfo]:
    own = [other for other in scratch if other.arch == encoder.arch]
    return [
        *(own or scratch),
        *(other for other in largest if other != encoder and _axes_between(encoder, other) == 1),
    ]


def _axes_between(a: EncoderInfo, b: EncoderInfo) -> int:
    """Count the axes in which two encoders differ, the size left out; 0 within a series."""
    source = (a.source, a.curation) != (b.source, b.curation)
    return sum(
        (a.method != b.method, a.arch != b.arch, source, fixed_settings(a) != fixed_settings(b))
    )


def _row(curve: ShotCurve, goal: Average) -> Scaling:
    if not same_sets([*curve.averages, goal]):
        return _scaling(curve, goal, None, f"cannot be said: {OTHER_SETS}", OTHER_SETS)
    knots = [Knot(mean_of(average), half_of(average)) for average in curve.averages]
    found = reach(knots, mean_of(goal), half_of(goal))
    return _scaling(curve, goal, found, _text(curve, goal, found), _why(curve, goal, found))


def _scaling(
    curve: ShotCurve, goal: Average, found: Crossing | None, text: str, why: str
) -> Scaling:
    numbers = [shots for shots in curve.shots if shots is not None]
    value = _shots_at(curve, found.value) if found else None
    beyond = found is not None and found.value is not None and value is None
    certain = found is not None and found.certain
    return Scaling(
        kind="labels",
        series=curve.encoder.label,
        reference=goal.label,
        mode=goal.mode,
        dataset=goal.dataset,
        shots=goal.shots,
        sizes=len(curve.averages),
        smallest=round(min(numbers)) if numbers else None,
        largest=round(max(numbers)) if numbers else None,
        value=value,
        ci95_low=_low(curve, found) if found else None,
        ci95_high=_shots_at(curve, found.high) if found else None,
        base=None,
        censored="above" if beyond else found.censored if found else "",
        fit=None,
        freedom=None,
        target=weakest([*curve.averages, goal]) if certain else "",
        text=text,
        why=why,
    )


def _shots_at(curve: ShotCurve, place: float | None) -> float | None:
    """Shots per class at a place of the curve; None beyond the last place that is known."""
    if place is None:
        return None
    before, after = curve.shots[math.floor(place)], curve.shots[math.ceil(place)]
    if before is None or after is None or before == after:
        return after
    part = place - math.floor(place)
    return math.exp((1 - part) * math.log(before) + part * math.log(after))


def _low(curve: ShotCurve, found: Crossing) -> float | None:
    """Return the lower end; beyond the last place that is known, the shots there."""
    known = _shots_at(curve, found.low)
    if found.low is None or known is not None:
        return known
    return curve.shots[-2] if len(curve.shots) > 1 else None


def _text(curve: ShotCurve, goal: Average, found: Crossing) -> str:
    # What scratch is depends on the mode, so its label would say too little.
    from_scratch = curve.encoder.method == "scratch"
    name = scratch_words(goal.mode) if from_scratch else curve.encoder.label
    has = f"what {goal.label} has with {shots_text(goal.shots)}"
    ends = _ends(curve, found)
    first, last = (shots_text(curve.averages[i].shots) for i in (0, -1))
    if is_open(found):
        return f"it cannot be said how many shots {name} needs to reach {has}: {OPEN}"
    if found.censored == "below":
        return f"{name} needs no more than {first}{ends} to reach {has}"
    if found.censored == "above" and curve.averages[-1].shots == FULL:
        if found.low == len(curve.shots) - 1:
            ends = ""  # surely more than full data
        return f"{name} does not reach {has}, not even with full data{ends}"
    if found.value is None:
        return f"{name} needs more than {last}{ends} to reach {has}"
    value = _shots_at(curve, found.value)
    if value is not None:
        needs = shots_text(rounded(value))
    elif found.value == math.ceil(found.value):
        needs = last
    else:
        needs = f"between {shots_text(curve.averages[-2].shots)} and full data"
    return f"{name} needs {needs}{ends} to reach {has}"


def _ends(curve: ShotCurve, found: Crossing) -> str:
    """Say the interval; on the way to full data of unknown size, rounded outwards."""
    words = []
    for place, outwards in ((found.low, math.floor), (found.high, math.ceil)):
        known = _shots_at(curve, place)
        if place is not None and known is None:
            words.append(curve.averages[outwards(place)].shots)
        else:
            words.append(rounded(known or 0))
    low, high = words
    both = found.low is not None and found.high is not None  # the unit once is enough
    return around(found, low if both and low != FULL else shots_text(low), shots_text(high))


def _why(curve: ShotCurve, goal: Average, found: Crossing) -> str:
    other = "the architectures differ" if curve.encoder.arch != goal.encoder.arch else ""
    return joined(_unsure(curve, goal, found), other)


def _unsure(curve: ShotCurve, goal: Average, found: Crossing) -> str:
    if found.certain:
        return found.why
    used = (goal, *curve.averages)
    without = [a for a in used if half_of(a) is None]
    if len(without) == len(used):
        return "values without intervals"
    return joined(*(f"{a.label} has no interval at {shots_text(a.shots)}" for a in without))
