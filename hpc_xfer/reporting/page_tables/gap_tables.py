"""Tables of gaps.csv: all pairs of an axis, and the range and spread of its levels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hpc_xfer.reporting.page_tables.page_table import (
    PageCell,
    PageColumn,
    PageTable,
    choice,
    covers,
    dataset,
    ends,
    joined,
    number,
    page_table,
    percent,
    probability,
    shots,
    signed,
    text,
)
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.answers.terms import shot_order
from hpc_xfer.results.averages import MEAN

MOST_PAIRS = 500  # in the page: more take seconds to lay out on a phone; gaps.csv has all
_PAIRS = (
    "Points of accuracy, a minus b, at equal other settings. Each 95% interval holds for all "
    "comparisons of its family at once (the same axis, mode, shots, data set and other settings); "
    "p is Holm's, in the same family. An interval that holds 0 proves no difference, and proves no "
    "equality either."
)
_RANGES = (
    "Points of accuracy. The interval is that of the true range: it allows for the luck by which "
    'the best and the worst were picked. "free of that luck" picks them on all draws but one, and '
    'scores them on that one. "spread" is the standard deviation between the levels with the noise '
    "taken out; it is what compares few shots with full data, where the noise differs."
)


@dataclass(frozen=True)
class LevelRange:
    """Best minus worst and spread of the same levels; one of them may be absent."""

    range: Gap | None
    spread: Gap | None

    @property
    def either(self) -> Gap:
        found = self.range or self.spread
        assert found is not None, "a row of gaps.csv made it"
        return found


def pair_table(gaps: Sequence[Gap]) -> PageTable:
    """Show the pairs, those of the mean over data sets first."""
    pairs = sorted((gap for gap in gaps if gap.kind == "pair"), key=lambda g: g.dataset != MEAN)
    columns: tuple[PageColumn[Gap], ...] = (
        choice("axis", lambda gap: gap.axis),
        text("a", lambda gap: gap.a),
        text("b", lambda gap: gap.b),
        choice("mode", lambda gap: gap.mode),
        dataset(lambda gap: gap.dataset),
        shots(lambda gap: gap.shots),
        signed("a minus b", lambda gap: gap.difference),
        ends("95% interval", lambda gap: gap.ci95_low, lambda gap: gap.ci95_high),
        covers(lambda gap: gap.target),
        choice("higher", lambda gap: gap.verdict or "cannot be said"),
        probability("p", lambda gap: gap.p_holm),
        ends("over test images too", lambda gap: gap.images_low, lambda gap: gap.images_high),
        number("at once", lambda gap: gap.comparisons),
        PageColumn("seeds", _seeds, numeric=True),
        number("draws", lambda gap: gap.draws),
        number("data sets", lambda gap: gap.datasets),
        text("both", lambda gap: gap.at),
        text("note", _note),
    )
    return page_table("Pairs", columns, pairs, _PAIRS, MOST_PAIRS)


def range_table(gaps: Sequence[Gap]) -> PageTable:
    """Show best minus worst and spread of each axis, shots after shots."""
    found: dict[tuple[str, ...], dict[str, Gap]] = {}
    for gap in gaps:
        if gap.kind != "pair":
            place = (gap.axis, gap.at, gap.mode, gap.dataset, gap.shots)
            found.setdefault(place, {})[gap.kind] = gap
    rows = [LevelRange(kinds.get("best-worst"), kinds.get("spread")) for kinds in found.values()]
    columns: tuple[PageColumn[LevelRange], ...] = (
        choice("axis", lambda row: row.either.axis),
        choice("mode", lambda row: row.either.mode),
        dataset(lambda row: row.either.dataset),
        shots(lambda row: row.either.shots),
        number("levels", lambda row: row.either.levels),
        text("best", lambda row: row.range.a if row.range else ""),
        text("worst", lambda row: row.range.b if row.range else ""),
        percent("best minus worst", _of_range(lambda gap: gap.difference)),
        ends(
            "95% interval",
            _of_range(lambda gap: gap.ci95_low),
            _of_range(lambda gap: gap.ci95_high),
        ),
        signed("free of that luck", _of_range(lambda gap: gap.unbiased)),
        percent("spread", _of_spread(lambda gap: gap.difference)),
        ends(
            "of the spread",
            _of_spread(lambda gap: gap.ci95_low),
            _of_spread(lambda gap: gap.ci95_high),
        ),
        probability("p of any difference", _of_spread(lambda gap: gap.p)),
        covers(lambda row: row.either.target),
        number("draws", lambda row: row.either.draws),
        number("data sets", lambda row: row.either.datasets),
        text("all", lambda row: row.either.at),
        text("note", lambda row: _note(row.either)),
    )
    return page_table("Best minus worst, and spread", columns, sorted(rows, key=_place), _RANGES)


def _of_range(read: Callable[[Gap], float | None]) -> Callable[[LevelRange], float | None]:
    return lambda row: None if row.range is None else read(row.range)


def _of_spread(read: Callable[[Gap], float | None]) -> Callable[[LevelRange], float | None]:
    return lambda row: None if row.spread is None else read(row.spread)


def _place(row: LevelRange) -> tuple[object, ...]:
    gap = row.either
    where = (gap.axis, gap.mode, gap.dataset != MEAN, gap.dataset, gap.at)
    return (*where, shot_order(gap.shots))


def _seeds(gap: Gap) -> PageCell:
    both = sorted({gap.seeds_a, gap.seeds_b})
    return PageCell(" and ".join(map(str, both)), both[0])


def _note(gap: Gap) -> str:
    return joined(
        gap.why,
        f"{gap.differs} differ too" if gap.differs else "",
        f"left out: {gap.left_out}" if gap.left_out else "",
        f"{gap.missing:,} cells missing" if gap.missing else "",
    )
