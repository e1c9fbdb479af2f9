"""Sentences on scaling.csv: what more samples add, how many more are enough, labels saved."""

from collections.abc import Sequence

from hpc_xfer.reporting.sentences.phrases import (
    bracket,
    caveats,
    interval_text,
    mode_text,
    points,
    refusal,
    scope,
    where,
)
from hpc_xfer.results.answers.labels_saved import FULL
from hpc_xfer.results.answers.rows import Scaling
from hpc_xfer.results.answers.scaling import OPEN
from hpc_xfer.results.averages import MEAN
from hpc_xfer.study.labels import short_count


def slope_sentence(row: Scaling) -> str:
    """Say how much ten times more samples add."""
    start = where(row.shots, row.mode, row.dataset)
    more = f"ten times more samples of {row.series}"
    change = "" if row.value is None else f"difference {points(row.value, sign=True)} points"
    if row.value is None or row.ci95_low is None or row.ci95_high is None:
        said = bracket([change, _sizes(row), *caveats(row.mode)])
        return f"{start}nothing can be said of {more}: {refusal(row.why)}{said}."
    tail = [_sizes(row), _fit(row), scope(row.target, each=True), row.why, *caveats(row.mode)]
    if row.ci95_low > 0:
        said = bracket([interval_text(row.ci95_low, row.ci95_high), *tail])
        return f"{start}{more} add {points(row.value)} points{said}."
    if row.ci95_high < 0:
        said = bracket([interval_text(-row.ci95_high, -row.ci95_low), *tail])
        return f"{start}{more} take off {points(-row.value)} points{said}."
    said = bracket([f"{change}, {interval_text(row.ci95_low, row.ci95_high)}", *tail])
    return f"{start}{more} are not shown to help{said}."


def crossing_sentence(row: Scaling) -> str:
    """Say how many times more samples of a series reach the accuracy of a label."""
    tail = [_level(row), _sizes(row), scope(row.target, each=True), row.why, *caveats(row.mode)]
    return f"{where(row.shots, row.mode, row.dataset)}{_told(row, tail)}."


def labels_sentence(row: Scaling) -> str:
    """Say at how many shots a label reaches what another has at the shots of the row."""
    dataset = "mean of data sets" if row.dataset == MEAN else row.dataset
    tail = [_level(row), scope(row.target, each=True), row.why, *caveats(row.mode)]
    return f"{mode_text(row.mode)}, {dataset}: {_told(row, tail)}."


def telling_crossings(rows: Sequence[Scaling]) -> list[Scaling]:
    """Leave out those whose interval is wider than what was measured, unless all are.

    First come those of one architecture, within the sizes, and for more data.
    """
    closed = [row for row in rows if OPEN not in row.text]
    return sorted(closed or rows, key=_importance)


def _importance(row: Scaling) -> tuple[bool, bool, bool]:
    asks = row.censored == "above" or (row.value is not None and row.value > 1)
    return "architectures differ" in row.why, row.value is None, not asks


def telling_labels(rows: Sequence[Scaling]) -> list[Scaling]:
    """Keep what labels saved say beyond a difference in accuracy; those with a known end first.

    At the fewest shots of both, "no more than these" says only which is higher; at the most shots,
    "more than these" does.
    """
    told = [row for row in rows if row.sizes > 1 and not _is_at_end(row)]
    closed = [row for row in told if OPEN not in row.text]
    return sorted(closed or told, key=lambda row: not _has_end(row))


def _is_at_end(row: Scaling) -> bool:
    first, last = str(row.smallest), (str(row.largest), FULL)
    if row.censored == "below":
        return row.shots == first
    return row.censored == "above" and row.shots in last


def _has_end(row: Scaling) -> bool:
    return row.ci95_low is not None or row.ci95_high is not None


def _told(row: Scaling, tail: list[str]) -> str:
    """Take the statement of the table; a reason that it says already is not said again."""
    return f"{row.text}{bracket([part for part in tail if part not in row.text])}"


def _level(row: Scaling) -> str:
    return "95% interval in brackets" if _has_end(row) else ""


def _sizes(row: Scaling) -> str:
    if row.smallest is None or row.largest is None:
        return ""
    ends = f"{short_count(row.smallest)} to {short_count(row.largest)}"
    return f"{row.sizes} sizes from {ends} samples"


def _fit(row: Scaling) -> str:
    return "" if row.fit is None else f"R² {row.fit:.2f}"
