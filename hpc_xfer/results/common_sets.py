"""The data sets that a mean is over: the same along a row, whatever the shots.

A mean over other data sets at other shots would compare sets, not shots. So means are over the
largest complete block of labels, data sets and shots: what is not in it is named with the reason.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Found = Mapping[str, Mapping[str, Collection[str]]]  # data set -> shots -> labels with values


@dataclass(frozen=True)
class CommonSets:
    """Data sets, shots and labels of a row of means, and what is not in it."""

    datasets: tuple[str, ...]
    shots: tuple[str, ...]
    labels: tuple[str, ...]
    left_out: str  # "clipart (no 10, 20 shots)"; empty if nothing is


@dataclass(frozen=True)
class _Block:
    datasets: tuple[str, ...]
    shots: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def size(self) -> tuple[bool, bool, int, int]:
        """Larger is better: two data sets and two labels at least, then as many means as may be."""
        means = len(self.datasets) * len(self.shots) * len(self.labels)
        return len(self.datasets) > 1, len(self.labels) > 1, means, len(self.datasets)


def common_sets(found: Found, labels: Sequence[str], needed: Collection[str] = ()) -> CommonSets:
    """Choose the data sets, shots and labels of a row of means.

    Args:
        found: data set -> shots -> labels that have a value there.
        labels: in order; those without any value are left out.
        needed: labels that are never left out for the others.
    """
    with_values = {label for at in found.values() for each in at.values() for label in each}
    present = [name for name in labels if name in with_values]
    if not present:
        return CommonSets((), (), (), "")
    everywhere = list(dict.fromkeys(shots for at in found.values() for shots in at))
    best = block = _block(found, everywhere, present)
    # A label that is hardly begun must not empty the row of the others.
    while optional := [name for name in reversed(present) if name not in needed]:
        present.remove(min(optional, key=lambda name: _filled(found, name)))
        if not present:
            break
        block = _block(found, everywhere, present)
        if block.size > best.size:
            best = block
    return CommonSets(
        best.datasets, best.shots, best.labels, _left_out(found, everywhere, labels, best)
    )


def _block(found: Found, shots: Sequence[str], labels: Sequence[str]) -> _Block:
    """The data sets and shots, as many as possible, where all labels have values."""
    complete = {
        name: [each for each in shots if set(labels) <= set(at.get(each, ()))]
        for name, at in found.items()
    }
    lists = list(dict.fromkeys(map(tuple, complete.values())))
    options = dict.fromkeys(
        tuple(each for each in mine if each in theirs) for mine in lists for theirs in lists
    )
    blocks = [
        _Block(
            tuple(name for name, has in complete.items() if set(option) <= set(has)),
            option,
            tuple(labels),
        )
        for option in options
        if option
    ]
    return max(blocks, key=lambda block: block.size, default=_Block((), (), tuple(labels)))


def _filled(found: Found, label: str) -> int:
    return sum(label in at for shots in found.values() for at in shots.values())


def _left_out(found: Found, shots: Sequence[str], labels: Sequence[str], block: _Block) -> str:
    reasons = [_reason(name, at, block) for name, at in found.items() if name not in block.datasets]
    reasons += [f"{name} (incomplete)" for name in labels if name not in block.labels]
    if block.datasets:
        for each in shots:
            if each not in block.shots:
                number = sum(each in found[name] for name in block.datasets)
                whole = len(block.datasets)
                why = f"{number} of {whole} data sets" if number < whole else "incomplete"
                reasons.append(f"{_said([each])} ({why})")
    return "; ".join(reasons)


def _reason(dataset: str, at: Mapping[str, Collection[str]], block: _Block) -> str:
    absent = [each for each in block.shots if each not in at]
    if absent:
        return f"{dataset} (no {_said(absent)})"
    lacking = [name for name in block.labels if any(name not in at[each] for each in block.shots)]
    return f"{dataset} (incomplete: {', '.join(lacking)})" if lacking else f"{dataset} (incomplete)"


def _said(shots: Sequence[str]) -> str:
    """`1, 5 shots`, `full data`, or `20 shots and full data`."""
    few = [each for each in shots if each != "full"]
    words = [f"{', '.join(few)} shots"] if few else []
    return " and ".join([*words, *(["full data"] if "full" in shots else [])])
