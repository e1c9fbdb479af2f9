"""Tables of scaling.csv, ranks.csv, variance.csv and selection.csv."""

from collections.abc import Sequence

from hpc_xfer.reporting.page_tables.page_table import (
    NOTHING,
    PageCell,
    PageColumn,
    PageTable,
    choice,
    covers,
    dataset,
    ends,
    hours,
    joined,
    number,
    page_table,
    percent,
    probability,
    shots,
    signed,
    text,
)
from hpc_xfer.results.answers.rows import Rank, Scaling, ScalingKind, SelectionBias, Variance
from hpc_xfer.study.labels import short_count

MOST_ROWS = 500  # of one table in the page; its CSV has all
_NOTES: dict[ScalingKind, str] = {
    "slope": "Points of accuracy for ten times the samples, by a straight line over the logarithm "
    "of the sizes, within the sizes that were trained.",
    "crossing": "How many times more samples of the series reach the accuracy of the reference. "
    'Nothing is said beyond the largest size: there it is "beyond the largest".',
    "labels": "The shots per class at which the series reaches what the reference has.",
}
_TITLES: dict[ScalingKind, str] = {
    "slope": "Accuracy per decade of samples",
    "crossing": "How much more data reaches the same",
    "labels": "Labels saved",
}


def scaling_tables(rows: Sequence[Scaling]) -> list[PageTable]:
    """Show slopes, crossings and labels saved, each in a table of its own."""
    columns = {
        "slope": _slope_columns(),
        "crossing": _crossing_columns(),
        "labels": _label_columns(),
    }
    return [
        page_table(_TITLES[kind], columns[kind], found, note, MOST_ROWS)
        for kind, note in _NOTES.items()
        if (found := [row for row in rows if row.kind == kind])
    ]


def rank_table(rows: Sequence[Rank]) -> PageTable:
    """Show average ranks; the critical difference says which are told apart."""
    columns: tuple[PageColumn[Rank], ...] = (
        text("label", lambda row: row.label),
        choice("mode", lambda row: row.mode),
        shots(lambda row: row.shots),
        number("average rank", lambda row: row.rank, ".2f"),
        number("critical difference", lambda row: row.critical_difference, ".2f"),
        number("labels", lambda row: row.labels),
        number("data sets", lambda row: row.datasets),
        probability("Friedman's p", lambda row: row.friedman_p),
        text("not told apart from", lambda row: row.not_told_apart),
        text("left out", lambda row: row.left_out),
    )
    note = (
        "Rank 1 is the best. Two labels whose average ranks differ by less than the critical "
        "difference are not told apart over these data sets."
    )
    return page_table("Average ranks over data sets", columns, rows, note, MOST_ROWS)


def variance_table(rows: Sequence[Variance]) -> PageTable:
    """Show how much each source of luck moves an accuracy, and what more of it would cost."""
    columns: tuple[PageColumn[Variance], ...] = (
        choice("varies by", lambda row: row.component),
        choice("mode", lambda row: row.mode),
        dataset(lambda row: row.dataset),
        shots(lambda row: row.shots),
        percent("sd", lambda row: row.sd),
        number("repeats", lambda row: row.repeats),
        percent("± now", lambda row: row.half_width),
        percent("± with one more", lambda row: row.half_width_more),
        hours("hours for one more", lambda row: row.cost_hours),
        text("in words", lambda row: joined(row.text, row.why)),
    )
    note = (
        'Points of accuracy: "sd" is the standard deviation by one source of luck alone, ± half of '
        "the 95% interval of a difference of two labels. Hours are those of GPUs, or of processes "
        "where there was no GPU, of one more repeat for all labels."
    )
    return page_table("Luck, and what more repeats would cost", columns, rows, note, MOST_ROWS)


def selection_table(rows: Sequence[SelectionBias]) -> PageTable:
    """Show what a choice on the test set would have reported."""
    columns: tuple[PageColumn[SelectionBias], ...] = (
        choice("tuned", lambda row: row.tuned),
        choice("mode", lambda row: row.mode),
        dataset(lambda row: row.dataset),
        shots(lambda row: row.shots),
        number("cells", lambda row: row.cells),
        number("values", lambda row: row.trials),
        percent("chosen (%)", lambda row: row.chosen),
        percent("best on test (%)", lambda row: row.best),
        signed("bias (points)", lambda row: row.bias),
        number("at the low end", lambda row: row.low),
        number("at the high end", lambda row: row.high),
        text("note", lambda row: f"unequal grids: {row.differs}" if row.differs else ""),
    )
    note = "Mean test accuracy of what was chosen, and of the value that is best on the test set."
    return page_table("Chosen on validation against chosen on test", columns, rows, note, MOST_ROWS)


def _slope_columns() -> tuple[PageColumn[Scaling], ...]:
    return (
        text("series", lambda row: row.series),
        *_places(),
        number("sizes", lambda row: row.sizes),
        text("samples", _size_range),
        signed("per decade", lambda row: row.value),
        ends("95% interval", lambda row: row.ci95_low, lambda row: row.ci95_high),
        covers(lambda row: row.target),
        number("R²", lambda row: row.fit, ".2f"),
        text("in words", _words),
    )


def _crossing_columns() -> tuple[PageColumn[Scaling], ...]:
    return (
        text("series", lambda row: row.series),
        text("reference", lambda row: row.reference),
        *_places(),
        text("samples", _size_range),
        _multiple("times more", " x"),
        text("95% interval", lambda row: _multiple_ends(row, " x")),
        number("of samples", lambda row: row.base),
        covers(lambda row: row.target),
        text("in words", _words),
    )


def _label_columns() -> tuple[PageColumn[Scaling], ...]:
    return (
        text("series", lambda row: row.series),
        text("reference", lambda row: row.reference),
        *_places("shots of the reference"),
        _multiple("shots of the series", ""),
        text("95% interval", lambda row: _multiple_ends(row, "")),
        covers(lambda row: row.target),
        text("in words", _words),
    )


def _places(title: str = "shots") -> tuple[PageColumn[Scaling], ...]:
    return (
        choice("mode", lambda row: row.mode),
        dataset(lambda row: row.dataset),
        shots(lambda row: row.shots, title),
    )


def _multiple(title: str, unit: str) -> PageColumn[Scaling]:
    """Make the column of a factor or of shots; a censored one says on which side."""

    def cell(row: Scaling) -> PageCell:
        if row.value is not None:
            return PageCell(f"{row.value:,.3g}{unit}", row.value)
        if row.censored == "above":
            return PageCell("beyond the largest", float("inf"))
        return PageCell("the smallest is enough", 0.0) if row.censored else PageCell(NOTHING)

    return PageColumn(title, cell, numeric=True)


def _multiple_ends(row: Scaling, unit: str) -> str:
    """Name both ends; one that lies beyond what was measured is empty in the table."""
    low = "" if row.ci95_low is None else f"{row.ci95_low:,.3g}{unit}"
    high = "" if row.ci95_high is None else f"{row.ci95_high:,.3g}{unit}"
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def _size_range(row: Scaling) -> str:
    if row.smallest is None or row.largest is None:
        return ""
    return f"{short_count(row.smallest)} to {short_count(row.largest)}"


def _words(row: Scaling) -> str:
    return joined(row.text, row.why)
