"""Sentences on a whole axis over all shots: where it matters, and whether its role shrinks."""

from collections.abc import Sequence

from hpc_xfer.reporting.sentences.gap_sentences import (
    axis_noun,
    gap_caveats,
    is_known,
    levels_noun,
    repeats,
    winner,
)
from hpc_xfer.reporting.sentences.phrases import (
    at_shots,
    bracket,
    caveats,
    interval_text,
    listed,
    p_text,
    place,
    points,
    refusal,
    scope,
)
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.answers.terms import shots_text


def headline(gaps: Sequence[Gap], at: str = "") -> str:
    """Say at which shots an axis matters, at which nothing is shown, and at which nothing can be.

    Args:
        gaps: one per shots, in order: best minus worst, or the only pair.
        at: what all levels share, where the study has several such groups.
    """
    first = gaps[0]
    said = [gap for gap in gaps if is_known(gap)]
    apart = [gap.shots for gap in said if winner(gap)]
    unclear = [gap.shots for gap in said if not winner(gap)]
    silent = [gap for gap in gaps if not is_known(gap)]
    parts = []
    if apart:
        who = "the two are" if first.levels == 2 else f"best and worst of {first.levels} are"
        parts.append(
            f"{axis_noun(first.axis)} matters with {at_shots(apart)}, where {who} told apart"
        )
    if unclear:
        of_what = "" if parts else f" of {axis_noun(first.axis)}"
        parts.append(f"with {at_shots(unclear)} nothing is shown{of_what}")
    if silent:
        of_what = "" if parts else f" of {axis_noun(first.axis)}"
        reasons = "; ".join(dict.fromkeys(refusal(gap.why) for gap in silent))
        places = at_shots([gap.shots for gap in silent])
        parts.append(f"with {places} nothing can be said{of_what}: {reasons}")
    here = place(first.mode, first.dataset, max(gap.datasets for gap in gaps), at)
    return f"{here}: {'; '.join(parts)}{_scope_of_all(gaps)}."


def spread_sentence(gaps: Sequence[Gap], at: str = "") -> str:
    """Say how far apart the levels are at the fewest and the most shots, and if that shrinks.

    Noise alone makes the observed best minus worst shrink with more data; it is not in the spread.

    Args:
        gaps: one of kind spread per shots, in order.
        at: what all levels share, where the study has several such groups.
    """
    first, last = gaps[0], gaps[-1]
    here = place(first.mode, first.dataset, max(first.datasets, last.datasets), at)
    what = f"the spread between {first.levels} {levels_noun(first.axis)}"
    start = f"{here}: {what} (standard deviation, noise taken out) is"
    tail = [repeats(last), scope(last.target, each=True), *gap_caveats(last)]
    if len(gaps) == 1:
        return f"{start} {_size(first)}{bracket([_sure(first), *tail])}."
    sizes = [f"{_size(gap)}{bracket([_sure(gap)])}" for gap in (first, last)]
    return f"{start} {listed(sizes)}; {_trend(first, last)}{bracket(tail)}."


def _size(gap: Gap) -> str:
    return f"{points(gap.difference)} points with {shots_text(gap.shots)}"


def _sure(gap: Gap) -> str:
    if gap.ci95_low is not None and gap.ci95_high is not None:
        return interval_text(gap.ci95_low, gap.ci95_high)
    if gap.p is not None:
        return p_text(gap.p)
    return refusal(gap.why) if gap.why else ""


def _trend(first: Gap, last: Gap) -> str:
    """Claim a change only where the two intervals have no point in common."""
    noun = axis_noun(first.axis)
    if (first.levels, first.datasets, first.left_out) != (
        last.levels, last.datasets, last.left_out
    ):  # fmt: skip
        return "they are not over the same data sets and levels, so they are not compared"
    known = [first.ci95_low, first.ci95_high, last.ci95_low, last.ci95_high]
    ends = [end for end in known if end is not None]
    if len(ends) < 4:
        return f"whether {noun} matters less with more data cannot be said: no interval"
    if ends[3] < ends[0]:
        return f"{noun} matters less with more data"
    if ends[2] > ends[1]:
        return f"{noun} matters more with more data"
    return f"whether {noun} matters less with more data cannot be said: the intervals overlap"


def _scope_of_all(gaps: Sequence[Gap]) -> str:
    scopes = dict.fromkeys(scope(gap.target, each=True) for gap in gaps)
    left_out = dict.fromkeys(gap.left_out for gap in gaps if gap.left_out)
    differs = next((gap.differs for gap in gaps if gap.differs), "")
    missing = sum(gap.missing for gap in gaps)
    tail = caveats(gaps[0].mode, missing, "; ".join(left_out), differs)
    return bracket([*scopes, *tail])
