"""Average ranks over data sets with the critical difference, in the manner of Demsar (2006)."""

from collections.abc import Iterator, Sequence

from hpc_xfer.reporting.charts.chart import AxisScale, Chart, Frame, Look, Mark, Ticks, Trace
from hpc_xfer.reporting.charts.looks import GRAY
from hpc_xfer.reporting.charts.tables import FigureTables
from hpc_xfer.reporting.charts.words import file_name
from hpc_xfer.reporting.sentences.phrases import p_text
from hpc_xfer.results.answers.rows import Rank
from hpc_xfer.results.answers.terms import mode_words, shot_order, shots_text


def rank_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make one figure per mode with a panel per shot count."""
    for mode in dict.fromkeys(row.mode for row in tables.ranks):
        rows = [row for row in tables.ranks if row.mode == mode]
        shots = sorted({row.shots for row in rows}, key=shot_order)
        frames = [_frame(n, [row for row in rows if row.shots == n], tables) for n in shots]
        most = max(row.labels for row in rows)
        question = "Which pre-trainings are told apart over all data sets?"
        left_out = dict.fromkeys(row.left_out for row in rows if row.left_out)
        also = f" Left out: {'; '.join(left_out)}." if left_out else ""
        yield Chart(
            name=file_name("ranks", mode),
            question=question,
            title=f"{question} {mode_words(mode)}",
            text="Average rank over data sets; 1 is the best. CD is the critical difference "
            "(Friedman and Nemenyi, 95%), p is Friedman's. Each bar is as long as CD: two "
            "encoders whose bars overlap are not told apart at this precision. Gray lines at the "
            "right join neighbors that are not told apart. The test takes data sets as the "
            f"repetitions, and knows neither seeds nor draws.{also}",
            frames=tuple(frames),
            columns=min(3 if len(frames) > 4 else 2, len(frames)),
            height=0.2 + 0.118 * most,
        )


def _frame(shots: str, rows: Sequence[Rank], tables: FigureTables) -> Frame:
    rows = sorted(rows, key=lambda row: (row.rank, row.label))
    info = tables.encoders
    critical = rows[0].critical_difference
    half = None if critical is None else critical / 2
    traces = []
    for i, row in enumerate(rows):
        look = tables.looks.of(info[row.label], shades=True) if row.label in info else Look(GRAY)
        low, high = (None, None) if half is None else (row.rank - half, row.rank + half)
        mark = Mark(row.rank, -i, low, high, at=row.label)
        traces.append(
            Trace(row.label, Look(look.color, look.marker, ""), (mark,), False, True, "rank")
        )
    widest = max([len(rows) + 0.5, *(row.rank + (half or 0) for row in rows)])
    start = min([0.5, *(row.rank - (half or 0) for row in rows)]) - 0.02 * len(rows)
    gap = 0.04 * (widest - start)
    for step, (first, last) in enumerate(_cliques(rows)):
        x = widest + gap * (1 + step)
        marks = tuple(Mark(x, -y, at=rows[y].label) for y in (first, last))
        traces.append(Trace("not told apart", Look(GRAY, "", "-", 1.0), marks, kind="group"))
    end = widest + gap * (1.5 + len(_cliques(rows)))
    ticks: Ticks = tuple((float(-i), row.label) for i, row in enumerate(rows))
    step = 1 if len(rows) <= 10 else 5
    numbers = [n for n in range(1, len(rows) + 1) if step == 1 or n == 1 or n % step == 0]
    x_axis = AxisScale(
        "average rank", tuple((float(n), str(n)) for n in numbers), ends=(start, end)
    )
    return Frame(
        _frame_title(shots, rows[0]),
        tuple(traces),
        x_axis,
        AxisScale("", ticks, ends=(-len(rows) + 0.4, 0.6)),
    )


def _frame_title(shots: str, row: Rank) -> str:
    words = [shots_text(shots), f"{row.datasets} sets"]
    if row.critical_difference is not None:
        words.append(f"CD {row.critical_difference:.2f}")
    if row.friedman_p is not None:
        words.append(p_text(row.friedman_p))
    return ", ".join(words)


def _cliques(rows: Sequence[Rank]) -> list[tuple[int, int]]:
    """First and last of each longest run of rows within one critical difference."""
    critical = rows[0].critical_difference
    if critical is None:
        return []
    found: list[tuple[int, int]] = []
    for first, row in enumerate(rows):
        last = max(i for i, other in enumerate(rows) if other.rank - row.rank <= critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
