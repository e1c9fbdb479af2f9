"""Sentences on training from scratch: how many pre-trainings beat it, and by how much."""

from collections.abc import Sequence
from dataclasses import replace

from hpc_xfer.reporting.sentences.gap_sentences import (
    gap_caveats,
    is_known,
    pair_sentence,
    repeats,
    turned,
    winner,
)
from hpc_xfer.reporting.sentences.phrases import (
    both_ends,
    bracket,
    counted,
    few,
    points,
    refusal,
    scope,
    where,
)
from hpc_xfer.results.answers.rows import Gap


def scratch_words(mode: str) -> str:
    """Say what scratch is in a mode: a probe has no training from scratch."""
    kind = mode.split()[0]
    if kind in ("lp", "knn"):
        return "a probe of the untrained encoder"
    return "the untrained encoder" if kind == "zeroshot" else "training from scratch"


def scratch_sentence(gaps: Sequence[Gap], at: str = "") -> str:
    """Compare all pre-trainings with scratch, at one number of shots.

    Args:
        gaps: label minus scratch: the pairs of one family.
        at: what all labels share, where the study has several such groups.
    """
    first, scratch = gaps[0], scratch_words(gaps[0].mode)
    if len(gaps) == 1:
        return pair_sentence(first, at, (first.a, scratch))
    known = sorted((gap for gap in gaps if is_known(gap)), key=_by_difference)
    silent = [gap for gap in gaps if not is_known(gap)]
    unclear = [gap for gap in known if not winner(gap)]
    below = [gap for gap in known if winner(gap) == "b"]
    clauses = []
    if known:
        clauses.append(_winners([gap for gap in known if winner(gap) == "a"], len(gaps), scratch))
    if unclear:
        them = few([f"{gap.a} ({_by(gap, sign=True)})" for gap in unclear])
        clauses.append(f"{them} cannot be told apart from it")
    if below:
        them = few([f"{gap.a} by {_by(turned(gap))}" for gap in reversed(below)])
        clauses.append(f"it beats {them}")
    if silent:
        reasons = "; ".join(dict.fromkeys(refusal(gap.why) for gap in silent))
        names = few([gap.a for gap in silent])
        clauses.append(f"nothing can be said of {names} against {scratch}: {reasons}")
    start = where(first.shots, first.mode, first.dataset, first.datasets, at)
    return f"{start}{'; '.join(clauses)}{_tail(gaps, known)}."


def _winners(above: Sequence[Gap], total: int, scratch: str) -> str:
    """Count those above scratch, and say by how much the most and the least."""
    if not above:
        return f"none of {total} pre-trainings is shown to beat {scratch}"
    number = f"all {total}" if len(above) == total else f"{len(above)} of {total}"
    beat = f"{number} pre-trainings beat{'s' if len(above) == 1 else ''} {scratch}"
    most, least = above[0], above[-1]
    if most is least:
        return f"{beat}: {most.a} by {_by(most)}"
    return f"{beat}, most of all {most.a} by {_by(most)}, least {least.a} by {_by(least)}"


def _by(gap: Gap, sign: bool = False) -> str:
    assert gap.ci95_low is not None and gap.ci95_high is not None, "callers leave these out"
    ends = both_ends(gap.ci95_low, gap.ci95_high)
    size = points(gap.difference, sign)
    return f"{size} points, {ends}" if sign else f"{size} points ({ends})"


def _tail(gaps: Sequence[Gap], known: Sequence[Gap]) -> str:
    number = gaps[0].comparisons
    level = f"95% intervals for all {number} comparisons at once" if known else ""
    scopes = dict.fromkeys(scope(gap.target, each=True) for gap in known)
    most = max(gap.missing for gap in gaps)
    absent = ""
    if len({gap.missing for gap in gaps}) > 1:
        absent = f"up to {counted(most, 'cell')} missing"
        gaps = [replace(gap, missing=0) for gap in gaps]
    weak = dict.fromkeys(text for gap in gaps for text in gap_caveats(gap))
    return bracket([level, _repeats(gaps), *scopes, absent, *weak])


def _repeats(gaps: Sequence[Gap]) -> str:
    """Count draws and seeds once; where comparisons differ in them, from the fewest to the most."""
    counts = list(dict.fromkeys(repeats(gap) for gap in gaps))
    if len(counts) == 1:
        return counts[0]
    draws = sorted(gap.draws for gap in gaps)
    seeds = sorted(gap.seeds_a for gap in gaps)
    return f"{_ends(draws, 'draw')}, {_ends(seeds, 'seed')}"


def _ends(numbers: Sequence[int], thing: str) -> str:
    least, most = numbers[0], numbers[-1]
    return counted(most, thing) if least == most else f"{least} to {counted(most, thing)}"


def _by_difference(gap: Gap) -> float:
    return -gap.difference
