"""The data sets that a mean is over: the same along a row, whatever the shots.

A mean over other data sets at other shots would compare sets, not shots. So a mean is over the sets
that all labels have at all shots; those left out are named with the reason.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Found = Mapping[str, Mapping[str, Collection[str]]]  # data set -> shots -> labels with values


@dataclass(frozen=True)
class CommonSets:
    """Which data sets, shots and labels a row of means is over, and what is not in it."""

    datasets: tuple[str, ...]
    shots: tuple[str, ...]
    labels: tuple[str, ...]
    left_out: str  # "clipart (no 10, 20 shots)"; empty if nothing is


def common_sets(found: Found, labels: Sequence[str]) -> CommonSets:
    """Choose the data sets of a row of means.

    Shots that only some data sets have are in the row if at least two sets have all of them;
    otherwise the row has the shots that most sets share. A label that has too little is left out
    before it empties the row for the others.

    Args:
        found: data set -> shots -> labels that have a value there.
        labels: in order; those without any value are left out.
    """
    with_values = {label for at in found.values() for each in at.values() for label in each}
    present = [name for name in labels if name in with_values]
    if not present:
        return CommonSets((), (), (), "")
    everywhere = list(dict.fromkeys(shots for at in found.values() for shots in at))
    enough = min(2, len(found))
    best = _sets(found, everywhere, present)
    while len(best) < enough and len(present) > 2:
        counts = {name: len(_sets(found, everywhere, [name])) for name in present}
        if max(counts.values()) < enough:
            break  # no label has all shots on enough sets: the shots differ
        present.remove(min(reversed(present), key=lambda name: counts[name]))
        best = _sets(found, everywhere, present)
    shots = everywhere
    if len(best) < enough:
        shots, best = _fewer_shots(found, everywhere, present)
    reasons = [_reason(name, sets, everywhere, shots, present) for name, sets in found.items()]
    out = [reason for name, reason in zip(found, reasons, strict=True) if name not in best]
    return CommonSets(tuple(best), tuple(shots), tuple(present), "; ".join(out))


def _sets(found: Found, shots: Sequence[str], labels: Sequence[str]) -> list[str]:
    """List the data sets where all labels have values at all shots."""
    return [
        name
        for name, at in found.items()
        if all(set(labels) <= set(at.get(each, ())) for each in shots)
    ]


def _fewer_shots(
    found: Found, shots: Sequence[str], labels: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The shots that most data sets share: at least two sets, then as much as possible."""
    lists = [[s for s in shots if set(labels) <= set(at.get(s, ()))] for at in found.values()]
    both = [[s for s in mine if s in theirs] for mine in lists for theirs in lists]
    options = [list(each) for each in dict.fromkeys(map(tuple, both)) if each]
    if not options:
        return list(shots), []
    best = max(options, key=lambda each: _worth(len(_sets(found, each, labels)), len(each)))
    return best, _sets(found, best, labels)


def _worth(sets: int, shots: int) -> tuple[bool, int, int]:
    return sets > 1, sets * shots, shots


def _reason(
    dataset: str,
    at: Mapping[str, Collection[str]],
    everywhere: Sequence[str],
    shots: Sequence[str],
    labels: Sequence[str],
) -> str:
    absent = [each for each in everywhere if each not in at]
    if absent:
        return f"{dataset} (no {', '.join(absent)} shots)"
    lacking = [name for name in labels if any(name not in at[each] for each in shots)]
    return f"{dataset} (incomplete: {', '.join(lacking)})"
