"""Best minus worst and spread between the levels of an axis, and curation, against shots."""

from collections.abc import Iterator, Sequence

from hpc_xfer.reporting.charts.chart import DASHED, POINTS, AxisScale, Chart, Frame, Look
from hpc_xfer.reporting.charts.looks import plain_look
from hpc_xfer.reporting.charts.over_shots import ZERO, Reading, ShotLine, shots_frame
from hpc_xfer.reporting.charts.tables import FigureTables, datasets_of, gap_ends
from hpc_xfer.reporting.charts.words import MINUS, covers_gaps, file_name, without_common
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.answers.terms import dataset_words, mode_words
from hpc_xfer.results.averages import MEAN
from hpc_xfer.results.encoder_info import EncoderInfo

_WORDS = {"samples": "size", "arch": "architecture"}
_BEST_WORST = Look("#0072B2", "o")
_UNBIASED = Look("#D55E00", "D", "")
_SPREAD = Look("#009E73", "s", DASHED)
_MOST_PAIRS = 6


def range_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make one figure per axis with a panel per data set, or per group where an axis has several.

    An axis such as `samples` has a range for each source; these are shown side by side for the
    mean over data sets. Of sources, the group with the most levels is shown for every data set too.
    """
    rows = [row for row in tables.gaps if row.kind != "pair" and row.axis != "scratch"]
    for mode in dict.fromkeys(row.mode for row in rows):
        for axis in dict.fromkeys(row.axis for row in rows if row.mode == mode):
            here = [row for row in rows if row.mode == mode and row.axis == axis]
            yield from _axis_charts(axis, mode, here)


def _axis_charts(axis: str, mode: str, rows: Sequence[Gap]) -> Iterator[Chart]:
    levels: dict[str, int] = {}
    for row in rows:
        levels[row.at] = max(row.levels, levels.get(row.at, 0))
    main = max(levels, key=lambda at: levels[at])
    if len(levels) > 1:
        datasets = list(dict.fromkeys(row.dataset for row in rows))
        dataset = MEAN if MEAN in datasets else datasets[0]
        together = [row for row in rows if row.dataset == dataset]
        common, short = without_common(list(dict.fromkeys(row.at for row in together)))
        frames = [
            _range_frame(name, [row for row in together if row.at == at])
            for at, name in short.items()
        ]
        fixed = ", ".join(word for word in (dataset_words(dataset), common) if word)
        yield _range_chart(axis, mode, ("groups",), fixed, together, frames)
        if axis != "source":
            return
    here = [row for row in rows if row.at == main]
    names = datasets_of(here)
    frames = [_range_frame(n, [row for row in here if row.dataset == n]) for n in names]
    yield _range_chart(axis, mode, (), main, here, frames)


def _range_chart(
    axis: str,
    mode: str,
    part: tuple[str, ...],
    fixed: str,
    rows: Sequence[Gap],
    frames: Sequence[Frame],
) -> Chart:
    word = _WORDS.get(axis, axis)
    question = f"How much does the {word} matter, at how many shots?"
    others = "data sets" if {r.target for r in rows if r.target} == {"sets"} else "draws"
    return Chart(
        name=file_name("range", axis, mode, *part),
        question=question,
        title=f"{question} {fixed}, {mode_words(mode)}",
        text=f"Best minus worst {word} against shots. {covers_gaps(rows, '')} "
        "The interval allows for the choice of the best and the worst among all (studentized "
        f"range). Unbiased: chosen on other {others} than those it is measured on, near 0 without "
        "an effect. Spread: standard deviation between all, with the noise taken out; this one "
        "can be compared between shot counts.",
        frames=tuple(frames),
    )


def _range_frame(title: str, rows: Sequence[Gap]) -> Frame:
    best = [row for row in rows if row.kind == "best-worst"]
    spread = {r.shots: Reading(100 * r.difference) for r in rows if r.kind == "spread"}
    unbiased = {r.shots: Reading(100 * r.unbiased) for r in best if r.unbiased is not None}
    lines = (
        ShotLine("best minus worst", _BEST_WORST, {row.shots: _reading(row) for row in best}),
        ShotLine("unbiased", _UNBIASED, unbiased, kind="unbiased", joined=False),
        ShotLine("spread", _SPREAD, spread, kind="spread"),
    )
    return shots_frame(title, lines, AxisScale("points", most=POINTS), guides=(ZERO,))


def curation_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make curated against others: at equal samples, and at equal samples seen.

    Pairs of two methods are drawn only where there are no others.
    """
    info, pairs = tables.encoders, tables.pairs("curation")
    for mode in dict.fromkeys(row.mode for row in pairs):
        here = [row for row in pairs if row.mode == mode]
        cut = {
            "equal samples": [r for r in here if _same_size(info[r.a], info[r.b])],
            "equal samples seen": [r for r in here if _same_seen(info[r.a], info[r.b])],
        }
        if cut["equal samples"] == cut["equal samples seen"]:
            cut = {"equal samples and samples seen": cut["equal samples"]}
        for what, rows in cut.items():
            alike = [row for row in rows if "method" not in row.differs]
            if rows:
                yield from _curation(mode, what, alike or rows)


def _curation(mode: str, what: str, rows: Sequence[Gap]) -> Iterator[Chart]:
    names = list(dict.fromkeys((row.a, row.b) for row in rows))
    question = f"What does curation change at {what}?"
    parts = [names[i : i + _MOST_PAIRS] for i in range(0, len(names), _MOST_PAIRS)]
    for number, part in enumerate(parts, 1):
        here = [row for row in rows if (row.a, row.b) in part]
        frames = [
            shots_frame(
                dataset,
                [
                    ShotLine(f"{a} {MINUS} {b}", plain_look(i), _pair_readings(here, a, b, dataset))
                    for i, (a, b) in enumerate(part)
                ],
                AxisScale("difference (points)", most=POINTS),
                guides=(ZERO,),
            )
            for dataset in datasets_of(here)
        ]
        levels = dict.fromkeys(f"{row.level_a} minus {row.level_b}" for row in here)
        differs = dict.fromkeys(row.differs for row in here if row.differs)
        also = f" They differ in {'; '.join(differs)} too." if differs else ""
        yield Chart(
            name=file_name("curation", mode, what, str(number) if len(parts) > 1 else ""),
            question=question,
            title=f"{question} {mode_words(mode)}",
            text=f"Difference in test accuracy, {', '.join(levels)}.{also} "
            + covers_gaps(here, "simultaneous"),
            frames=tuple(frames),
        )


def _reading(row: Gap) -> Reading:
    return Reading(100 * row.difference, *gap_ends(row), row.missing > 0)


def _pair_readings(rows: Sequence[Gap], a: str, b: str, dataset: str) -> dict[str, Reading]:
    return {r.shots: _reading(r) for r in rows if (r.a, r.b) == (a, b) and r.dataset == dataset}


def _same_size(a: EncoderInfo, b: EncoderInfo) -> bool:
    return a.samples is not None and a.samples == b.samples


def _same_seen(a: EncoderInfo, b: EncoderInfo) -> bool:
    return a.samples_seen is not None and a.samples_seen == b.samples_seen
