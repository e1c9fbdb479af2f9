"""The phrases that all sentences share: points, intervals, scope, and what a number leaves out."""

import re
from collections.abc import Sequence

from hpc_xfer.results.answers.terms import FULL, dataset_words, shots_text
from hpc_xfer.results.estimators.estimate import Target

# In the label of a mode whose settings were chosen on the test set, here or elsewhere.
_ON_TEST = re.compile(r" \((paper protocol|selected on test)[^)]*\)")
_MOST_NAMES = 3
_SCOPES: dict[Target, str] = {
    "": "",
    "sets": "over data sets like these, with one value on each",
    "E1": "for this one pre-training",
    "E2": "over seeds of the pre-training",
}


def points(share: float, sign: bool = False) -> str:
    """Format a share in points: 0.051 -> 5.1, with sign +5.1; never -0.0."""
    rounded = round(100 * share, 1) + 0.0
    return f"{rounded:+.1f}" if sign else f"{rounded:.1f}"


def p_text(p: float) -> str:
    """Write a p-value: p = 0.017, p < 0.001; never p = 0."""
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"


def interval_text(low: float, high: float, comparisons: int = 1) -> str:
    """Say both ends, in points, and how many comparisons the 95% are for at once."""
    at_once = f" for all {comparisons} comparisons at once" if comparisons > 1 else ""
    return f"95% interval {both_ends(low, high)}{at_once}"


def both_ends(low: float, high: float) -> str:
    """Write an end that is not 0 never as 0.0: an interval from 0.03 on leaves 0 out."""
    return f"{_end(low)} to {_end(high)}"


def _end(share: float) -> str:
    return f"{100 * share:.1g}" if 0 < abs(share) < 0.0005 else points(share)


def scope(target: Target, each: bool = False) -> str:
    """Say what an interval covers; empty where there is none.

    Args:
        each: the sentence is about several labels, each of one pre-training.
    """
    return _SCOPES[target] + (" of each" if each and target == "E1" else "")


def where(shots: str, mode: str, dataset: str, datasets: int = 0, at: str = "") -> str:
    """Begin a sentence: `With 1 shot (ft, mean of 6 data sets), `."""
    start = "Zero-shot" if shots == "0" else f"With {shots_text(shots)}"
    return f"{start} ({place(mode, dataset, datasets, at)}), "


def place(mode: str, dataset: str, datasets: int = 0, at: str = "") -> str:
    """Name mode, data set, and the settings that all levels share."""
    parts = [mode_text(mode), dataset_words(dataset, datasets), at]
    return ", ".join(part for part in parts if part)


def mode_text(mode: str) -> str:
    """Return the label of a mode without a choice on the test set, which `caveats` says."""
    return _ON_TEST.sub("", mode)


def counted(number: int, thing: str) -> str:
    """1 seed, 2 seeds, 1,000 seeds."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def caveats(mode: str, missing: int = 0, left_out: str = "", differs: str = "") -> list[str]:
    """Say what weakens a number: other settings that differ, gaps, choice on the test set."""
    several = "," in differs
    found = []
    if differs:
        names = listed([name.strip() for name in differs.split(",")])
        found.append(f"{names} {'differ' if several else 'differs'} too")
    if missing:
        found.append(f"{counted(missing, 'cell')} missing")
    if left_out:
        first, *more = left_out.split("; ")
        others = f" and {len(more)} more, see the column left_out" if more else ""
        found.append(f"without {_shortened(first)}{others}")
    if _ON_TEST.search(mode):
        found.append("chosen on test")
    return found


def _shortened(left_out: str) -> str:
    """Count the labels that a data set lacks, where they are many."""
    start, lacks, names = left_out.partition("(incomplete: ")
    if names.count(", ") < _MOST_NAMES:
        return left_out
    return f"{start}{lacks}{names.count(', ') + 1} labels)"


def bracket(parts: Sequence[str]) -> str:
    """Put the parts that are not empty into one pair of brackets."""
    said = "; ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def listed(words: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def few(words: Sequence[str], most: int = _MOST_NAMES) -> str:
    """List up to `most` words, then count the others: a, b and 4 more."""
    if len(words) <= most:
        return listed(words)
    return f"{', '.join(words[:most])} and {len(words) - most} more"


def at_shots(shots: Sequence[str]) -> str:
    """Join shot counts: `1 and 5 shots and full data`."""
    few_shot = [name for name in shots if name != FULL]
    full = [shots_text(name) for name in shots if name == FULL]
    if not few_shot:
        return listed(full)
    return listed([f"{listed(few_shot)} {'shot' if few_shot == ['1'] else 'shots'}", *full])


def refusal(why: str) -> str:
    """Turn the reason of a table into a clause: `one draw: no interval` -> `one draw, no ...`."""
    return why.replace(": ", ", ") or "no interval"
