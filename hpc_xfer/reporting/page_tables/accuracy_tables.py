"""Tables of test accuracy: labels by shots, with signs for what is told apart from the highest."""

from collections.abc import Mapping, Sequence

from hpc_xfer.reporting.accuracy_matrix import AccuracyMatrix, percent
from hpc_xfer.reporting.figure_data import shots_text
from hpc_xfer.reporting.page_tables.page_table import PageCell, PageColumn, PageTable, page_table
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.averages import Average

HIGHEST, ALIKE = "▲", "≈"
_LEGEND = (
    f"{HIGHEST} highest mean of a column; {ALIKE} not told apart from it by gaps.csv. Labels "
    "without a sign are told apart from it, or are compared with it nowhere. A column without "
    "signs has no such comparison."
)
Pair = tuple[str, str, str, frozenset[str]]  # mode, data set, shots, two labels
Verdicts = Mapping[Pair, bool]  # False: some comparison does not tell them apart


def verdicts_of(gaps: Sequence[Gap]) -> Verdicts:
    """List the pairs of labels that are compared: whether every comparison tells them apart."""
    found: dict[Pair, bool] = {}
    for gap in gaps:
        if gap.kind == "pair" and gap.verdict:
            pair = (gap.mode, gap.dataset, gap.shots, frozenset((gap.a, gap.b)))
            found[pair] = found.get(pair, True) and gap.verdict in ("a", "b")
    return found


def accuracy_table(matrix: AccuracyMatrix, verdicts: Verdicts) -> PageTable:
    """Show one matrix, with its signs and what its numbers mean."""
    signs = [_signs(matrix, i, verdicts) for i in range(len(matrix.shots))]
    columns = [PageColumn("label", lambda row: PageCell(row[0]))]
    columns += [_column(matrix, i, signs[i]) for i in range(len(matrix.shots))]
    covers = f", which {matrix.coverage}" if matrix.coverage else ""
    notes = [
        f"Test accuracy in percent ± half of the 95% interval{covers}.",
        matrix.note and f"{matrix.note}.",
        matrix.labels and f"Labels {matrix.labels}.",
        _LEGEND if any(signs) else "",
    ]
    title = f"{matrix.title} ({matrix.mode})"
    note = " ".join(note for note in notes if note)
    return page_table(title, columns, list(matrix.rows.items()), note)


def _column(matrix: AccuracyMatrix, at: int, signs: Mapping[str, str]) -> PageColumn:
    def cell(row: tuple[str, Sequence[Average | None]]) -> PageCell:
        label, entry = row[0], row[1][at]
        mean = entry.interval.mean if entry and entry.interval else None
        return PageCell(percent(entry), mean, signs.get(label, ""))

    return PageColumn(shots_text(matrix.shots[at]), cell, numeric=True)


def _signs(matrix: AccuracyMatrix, at: int, verdicts: Verdicts) -> dict[str, str]:
    """Label -> sign in one column; none where nothing is compared with the highest."""
    means = {
        label: entry.interval.mean
        for label, row in matrix.rows.items()
        if (entry := row[at]) and entry.interval
    }
    if not means:
        return {}
    highest = max(means, key=lambda label: means[label])
    place = (matrix.mode, matrix.dataset, matrix.shots[at])
    compared = {
        label: verdicts[(*place, frozenset((highest, label)))]
        for label in means
        if (*place, frozenset((highest, label))) in verdicts
    }
    alike = {label: ALIKE for label, apart in compared.items() if not apart}
    return {highest: HIGHEST, **alike} if compared else {}
