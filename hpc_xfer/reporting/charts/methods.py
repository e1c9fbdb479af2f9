"""Methods paired per source: above, the accuracy of each; below, the differences."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hpc_xfer.reporting.charts.chart import (
    POINTS,
    AxisScale,
    Chart,
    Frame,
    Guide,
    Look,
    Mark,
    Ticks,
    Trace,
)
from hpc_xfer.reporting.charts.looks import GRAY, MARKERS, Looks
from hpc_xfer.reporting.charts.tables import FigureTables, encoders_of, gap_ends, shot_axis
from hpc_xfer.reporting.charts.words import MINUS, covers_gaps, file_name, without_common
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.answers.terms import dataset_words, mode_words, shots_text
from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.encoder_info import EncoderInfo

_ZERO = Guide(0.0, Look(GRAY, "", "-", 0.8), upright=True)


def method_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make one figure per mode; for the mean over data sets where there is one, else per set."""
    pairs = tables.pairs("method")
    for mode in dict.fromkeys(row.mode for row in pairs):
        here = [row for row in pairs if row.mode == mode]
        datasets = list(dict.fromkeys(row.dataset for row in here))
        for dataset in [MEAN] if MEAN in datasets else datasets:
            rows = [row for row in here if row.dataset == dataset]
            names = {name for row in rows for name in (row.a, row.b)}
            averages = [a for a in tables.ended(mode) if a.dataset == dataset and a.label in names]
            if averages:
                part = "" if dataset == MEAN else dataset
                yield _chart(mode, dataset, part, rows, averages, tables.looks)


def _chart(
    mode: str,
    dataset: str,
    part: str,
    rows: Sequence[Gap],
    averages: Sequence[Average],
    looks: Looks,
) -> Chart:
    info = {a.label: a.encoder for a in averages}
    shots = shot_axis(averages)
    rows = [row for row in rows if row.shots in shots and row.a in info and row.b in info]
    ats = list(dict.fromkeys(row.at for row in rows))
    kinds = list(dict.fromkeys((info[row.a].method, info[row.b].method) for row in rows))
    common, short = without_common(ats)
    names = [short[at] for at in ats]
    rows = [replace(row, at=short[row.at]) for row in rows]
    frames = [_accuracy_frame(name, names, rows, averages, looks) for name in shots]
    for a, b in kinds:
        cut = [row for row in rows if (info[row.a].method, info[row.b].method) == (a, b)]
        frames += [_difference_frame(name, (a, b), names, cut, info, looks) for name in shots]
        frames[-len(shots)] = replace(frames[-len(shots)], title=f"{a} {MINUS} {b}")
    differs = dict.fromkeys(row.differs for row in rows if row.differs)
    also = f" They differ in {'; '.join(differs)} too." if differs else ""
    question = "Which method transfers better from the same source?"
    return Chart(
        name=file_name("methods", mode, part),
        question=question,
        title=", ".join(
            w for w in (f"{question} {dataset_words(dataset)}", common, mode_words(mode)) if w
        ),
        text="Above: test accuracy of the methods per source; a column is a number of shots per "
        f"class. Below: their difference.{also} " + covers_gaps(rows, "simultaneous"),
        frames=tuple(frames),
        columns=len(shots),
        height=0.35 + 0.15 * len(ats),
        keys=tuple(key for key in looks.keys(encoders_of(averages)) if key.look.marker),
    )


def _accuracy_frame(
    shots: str,
    ats: Sequence[str],
    rows: Sequence[Gap],
    averages: Sequence[Average],
    looks: Looks,
) -> Frame:
    means = {
        a.encoder: a.interval.mean for a in averages if a.shots == shots and a.interval is not None
    }
    hollow = {a.encoder for a in averages if a.shots == shots and a.missing}
    by_label = {encoder.label: encoder for encoder in means}
    traces = []
    for place, at in enumerate(ats):
        names = dict.fromkeys(name for r in rows if r.at == at for name in (r.a, r.b))
        found = [by_label[name] for name in names if name in by_label]
        if not found:
            continue
        color = looks.of_pair(found[0])
        marks = [Mark(100 * means[e], -place, hollow=e in hollow, at=at) for e in found]
        line = tuple(sorted(marks, key=lambda mark: mark.x))
        traces.append(Trace(at, Look(color, "", "-", 0.8), line, kind="joined"))
        for encoder, mark in zip(found, marks, strict=True):
            look = Look(looks.of(encoder).color, looks.of(encoder).marker, "")
            traces.append(Trace(encoder.label, look, (mark,), joined=False, kind="accuracy"))
    x = AxisScale("accuracy (%)", most=(0.0, 100.0))
    return Frame(shots_text(shots), tuple(traces), x, _places(ats))


def _difference_frame(
    shots: str,
    kind: tuple[str, str],
    ats: Sequence[str],
    rows: Sequence[Gap],
    info: dict[str, EncoderInfo],
    looks: Looks,
) -> Frame:
    traces = []
    for row in rows:
        if row.shots != shots:
            continue
        place = -ats.index(row.at)
        mark = Mark(100 * row.difference, place, *gap_ends(row), row.missing > 0, row.at)
        look = Look(looks.of_pair(info[row.a]), MARKERS[0], "")
        name = f"{row.a} {MINUS} {row.b}"
        traces.append(Trace(name, look, (mark,), False, across=True, kind="difference"))
    x = AxisScale("points", most=POINTS, shared=True)
    panel = f"{shots_text(shots)}, {kind[0]} {MINUS} {kind[1]}"
    return Frame("", tuple(traces), x, _places(ats), (_ZERO,), panel)


def _places(ats: Sequence[str]) -> AxisScale:
    ticks: Ticks = tuple((float(-i), at) for i, at in enumerate(ats))
    return AxisScale("", ticks, ends=(-len(ats) + 0.4, 0.6))
