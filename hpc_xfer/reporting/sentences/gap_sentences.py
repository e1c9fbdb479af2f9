"""Sentences on two labels: a pair, or the best and the worst level of an axis."""

from dataclasses import replace

from hpc_xfer.reporting.sentences.phrases import (
    both_ends,
    bracket,
    caveats,
    counted,
    interval_text,
    points,
    refusal,
    scope,
    where,
)
from hpc_xfer.results.answers.rows import Gap

_NOUNS = {  # axis -> the axis itself, its levels
    "source": ("the source of the data", "sources"),
    "samples": ("the number of samples", "sizes"),
    "curation": ("the curation of the data", "levels of curation"),
    "method": ("the method", "methods"),
    "arch": ("the architecture", "architectures"),
    "samples seen": ("the number of samples seen", "numbers of samples seen"),
}


def axis_noun(axis: str) -> str:
    return _NOUNS[axis][0] if axis in _NOUNS else f"the setting {axis}"


def levels_noun(axis: str) -> str:
    return _NOUNS[axis][1] if axis in _NOUNS else f"values of {axis}"


def turned(gap: Gap) -> Gap:
    """Return the same comparison as b minus a."""
    return replace(
        gap,
        a=gap.b, b=gap.a, level_a=gap.level_b, level_b=gap.level_a,
        seeds_a=gap.seeds_b, seeds_b=gap.seeds_a,
        difference=-gap.difference,
        ci95_low=_minus(gap.ci95_high), ci95_high=_minus(gap.ci95_low),
        images_low=_minus(gap.images_high), images_high=_minus(gap.images_low),
        verdict="b" if gap.verdict == "a" else "a" if gap.verdict == "b" else gap.verdict,
    )  # fmt: skip


def is_known(gap: Gap) -> bool:
    """True if the difference has an interval of use: with two repetitions it has none."""
    return gap.ci95_low is not None and gap.ci95_high is not None and not gap.why


def winner(gap: Gap) -> str:
    """Say which is told apart as the higher one: a, b, or nothing."""
    return gap.verdict if is_known(gap) and gap.verdict in ("a", "b") else ""


def pair_sentence(gap: Gap, at: str = "", names: tuple[str, str] | None = None) -> str:
    """Compare a with b.

    Args:
        gap: of any kind but spread.
        at: what all levels share, where the study has several such groups.
        names: of a and b; by default their labels.
    """
    a, b = names or (gap.a, gap.b)
    start = where(gap.shots, gap.mode, gap.dataset, gap.datasets, at)
    tail = [repeats(gap), scope(gap.target, each=True), *gap_caveats(gap)]
    if not is_known(gap):
        difference = f"difference {points(gap.difference, sign=True)} points"
        said = bracket([difference, _images_alone(gap), repeats(gap), *gap_caveats(gap)])
        return f"{start}nothing can be said of {a} against {b}: {refusal(gap.why)}{said}."
    if winner(gap) == "b":
        gap, a, b = turned(gap), b, a
    said = bracket([told_interval(gap), _images(gap), *tail])
    if winner(gap):
        return f"{start}{a} beats {b} by {points(gap.difference)} points{said}."
    difference = f"difference {points(gap.difference, sign=True)} points"
    said = bracket([f"{difference}, {told_interval(gap)}", *tail])
    return f"{start}{a} and {b} cannot be told apart{said}."


def range_sentence(gap: Gap, at: str = "") -> str:
    """Compare the best level of an axis with the worst."""
    if gap.levels == 2:
        return pair_sentence(gap, at)
    start = where(gap.shots, gap.mode, gap.dataset, gap.datasets, at)
    levels = f"{gap.levels} {levels_noun(gap.axis)}"
    tail = [_unbiased(gap), repeats(gap), scope(gap.target, each=True), *gap_caveats(gap)]
    difference = points(gap.difference)
    if not is_known(gap):
        said = bracket([f"best minus worst {difference} points", _images_alone(gap), *tail])
        return f"{start}nothing can be said of the {levels}: {refusal(gap.why)}{said}."
    range_interval = told_interval(replace(gap, comparisons=1))  # it is of one number, the range
    if winner(gap) == "a":
        said = bracket([range_interval, _images(gap), *tail])
        return (
            f"{start}the best of {levels}, {gap.a}, beats the worst, {gap.b}, by {difference} "
            f"points{said}."
        )
    found = (
        f"best minus worst {difference} points, {range_interval}; noise alone can make "
        "such a difference"
    )
    return f"{start}the {levels} cannot be told apart{bracket([found, *tail])}."


def told_interval(gap: Gap) -> str:
    """Say the interval of a difference; empty where there is none."""
    if gap.ci95_low is None or gap.ci95_high is None:
        return ""
    return interval_text(gap.ci95_low, gap.ci95_high, gap.comparisons)


def repeats(gap: Gap) -> str:
    """Count draws and seeds: `3 draws, 1 seed`, or `3 draws, 3 seeds against 1`."""
    seeds = counted(gap.seeds_a, "seed")
    against = "" if gap.seeds_a == gap.seeds_b else f" against {gap.seeds_b}"
    return f"{counted(gap.draws, 'draw')}, {seeds}{against}"


def gap_caveats(gap: Gap) -> list[str]:
    return caveats(gap.mode, gap.missing, gap.left_out, gap.differs)


def _images(gap: Gap) -> str:
    """Say where other test images would take the claim back; empty where they would not."""
    if gap.images_low is None or gap.images_high is None or not winner(gap):
        return ""
    if gap.images_low > 0 or gap.images_high < 0:
        return ""
    ends = both_ends(gap.images_low, gap.images_high)
    return f"with other test images too {ends}, which includes 0"


def _images_alone(gap: Gap) -> str:
    if gap.images_low is None or gap.images_high is None:
        return ""
    return f"over test images alone {interval_text(gap.images_low, gap.images_high)}"


def _unbiased(gap: Gap) -> str:
    if gap.unbiased is None:
        return ""
    others = "data sets" if gap.target == "sets" else "draws"
    return f"{points(gap.unbiased)} points where best and worst are chosen on other {others}"


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
