"""Sentences on ranks over data sets, and on how much luck is in a number."""

from collections.abc import Sequence

from hpc_xfer.reporting.sentences.phrases import (
    bracket,
    caveats,
    few,
    p_text,
    points,
    where,
)
from hpc_xfer.results.answers.rows import Rank, Variance

_ADVICE = ("draw", "seed", "image")  # what one can have more of; the others follow from them
_NAMES = {
    "draw": "draw of the images",
    "seed": "seed of the pre-training",
    "label x draw": "fit of an encoder to a draw",
    "run": "rest of a run",
    "image": "test images",
}
_CLAIMED = 0.05  # below this p, Friedman's test says that the labels are not all alike


def rank_sentence(ranks: Sequence[Rank]) -> str:
    """Say which label ranks first, and which are within the critical difference of it.

    Args:
        ranks: of one mode and number of shots.
    """
    best = min(ranks, key=lambda rank: rank.rank)
    sets = f"ranks over {best.datasets} data sets"
    start = where(best.shots, best.mode, sets)
    tail = caveats(best.mode, left_out=best.left_out)
    if best.friedman_p is None or best.critical_difference is None:
        return f"{start}nothing can be said of the ranks: too few data sets{bracket(tail)}."
    test = f"Friedman {p_text(best.friedman_p)}"
    if best.friedman_p >= _CLAIMED:
        return f"{start}the {best.labels} labels cannot be told apart{bracket([test, *tail])}."
    near = best.not_told_apart.split("; ") if best.not_told_apart else []
    apart = f", not told apart from {few(near)}" if near else ", told apart from all others"
    if len(near) == best.labels - 1:
        apart = ", not told apart from any other"
    critical = f"critical difference {best.critical_difference:.1f}"
    said = bracket([test, critical, *tail])
    return f"{start}{best.label} is first of {best.labels} with rank {best.rank:.1f}{apart}{said}."


def variance_sentence(rows: Sequence[Variance]) -> str:
    """Say how much an accuracy varies by each source of luck, and what more of it would bring.

    Args:
        rows: of one mode, data set and number of shots.
    """
    first = rows[0]
    known = {row.component: points(row.sd) for row in rows if row.sd is not None}
    parts = []
    if known.keys() - {"image"}:
        said = ", ".join(f"{_NAMES.get(name, name)} {sd}" for name, sd in known.items())
        parts.append(f"luck moves an accuracy by (standard deviation in points): {said}")
    elif known:
        reasons = ", ".join(dict.fromkeys(row.why for row in rows if row.why))
        parts.append(f"nothing can be said of the luck of draws and seeds{bracket([reasons])}")
    parts += dict.fromkeys(row.text for row in rows if row.text and row.component in _ADVICE)
    if not parts:
        reasons = "; ".join(dict.fromkeys(row.why for row in rows if row.why))
        parts.append(f"nothing can be said of the luck in a number{bracket([reasons])}")
    said = bracket(caveats(first.mode))
    return f"{where(first.shots, first.mode, first.dataset)}{'; '.join(parts)}{said}."
