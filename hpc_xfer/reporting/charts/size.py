"""Accuracy against pre-training size: all series in one panel, fits, crossings, references."""

import math
from collections.abc import Iterator, Mapping, Sequence

from hpc_xfer.reporting.charts.chart import (
    ACCURACY,
    AxisScale,
    Chart,
    Frame,
    Guide,
    Look,
    Mark,
    Trace,
)
from hpc_xfer.reporting.charts.looks import DASHES, Looks
from hpc_xfer.reporting.charts.tables import (
    FigureTables,
    datasets_of,
    encoders_of,
    percent_ends,
    shot_axis,
)
from hpc_xfer.reporting.charts.words import covers_averages, file_name
from hpc_xfer.results.answers.rows import Scaling
from hpc_xfer.results.answers.series import Series, all_series
from hpc_xfer.results.answers.terms import dataset_words, mode_words, shots_text
from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.study.labels import short_count

_MOST_REFERENCES = 3


def size_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make one figure per mode for the mean over data sets, and three with all sets."""
    for mode in tables.modes:
        averages = tables.ended(mode)
        series = [s for s in all_series(encoders_of(averages)) if len(s.encoders) > 1]
        if not series:
            continue
        picture = _Picture(mode, series, averages, tables)
        main = tables.main_datasets(mode)[0]
        shots = shot_axis(averages)
        if len(datasets_of(averages)) == 1 or main == MEAN:
            frames = [picture.frame(main, name, shots_text(name)) for name in shots]
            yield picture.chart(file_name("size", mode), dataset_words(main), frames, columns=2)
        if len(datasets_of(averages)) > 1:
            for name in _few(shots):
                found = [a for a in averages if a.shots == name]
                frames = [picture.frame(d, name, dataset_words(d)) for d in datasets_of(found)]
                yield picture.chart(file_name("size", mode, name), shots_text(name), frames)


class _Picture:
    """The data that all frames of one mode share."""

    def __init__(
        self,
        mode: str,
        series: Sequence[Series],
        averages: Sequence[Average],
        tables: FigureTables,
    ) -> None:
        self.mode = mode
        self.series = series
        self.averages = averages
        self.looks = _series_looks(series, tables.looks)
        self.rows = [row for row in tables.scaling if row.mode == mode]
        self.references = _references(series, averages, tables.looks)

    def frame(self, dataset: str, shots: str, title: str) -> Frame:
        here = {a.encoder: a for a in self.averages if a.dataset == dataset and a.shots == shots}
        rows = [row for row in self.rows if row.dataset == dataset and row.shots == shots]
        traces: list[Trace] = []
        for each in self.series:
            traces += _series_traces(each, self.looks[each.label], here, rows)
        guides = []
        for encoder, look in self.references.items():
            average = here.get(encoder)
            if average is not None and average.interval is not None:
                guides.append(Guide(100 * average.interval.mean, look, encoder.label))
                traces += _crossings(encoder, 100 * average.interval.mean, self.looks, rows)
        sizes = sorted({e.samples for s in self.series for e in s.encoders if e.samples})
        ticks = tuple((float(n), short_count(n)) for n in sizes)
        ends = (sizes[0] / 1.25, sizes[-1] * 1.25)
        x = AxisScale("pre-training samples", ticks, log=True, ends=ends)
        return Frame(
            title,
            tuple(traces),
            x,
            ACCURACY,
            tuple(guides),
        )

    def chart(self, name: str, fixed: str, frames: Sequence[Frame], columns: int = 0) -> Chart:
        frames = [frame for frame in frames if frame.traces] or frames[:1]
        question = "How does accuracy grow with the pre-training size?"
        here = [a for a in self.averages if any(a.encoder in s.encoders for s in self.series)]
        kinds = {trace.kind for frame in frames for trace in frame.traces}
        words = ["Test accuracy against the number of pre-training samples."]
        words.append(covers_averages(here))
        if "fit" in kinds:
            words.append("Lines are least-squares fits of accuracy on the logarithm of the size.")
        if any(frame.guides for frame in frames):
            words.append("Horizontal lines are other encoders, whatever their size.")
        if "crossing" in kinds:
            words.append(
                "A tick on such a line is the size at which a series reaches it, with its 95% "
                "interval; "
                "nothing is extrapolated beyond the largest size."
            )
        return Chart(
            name=name,
            question=question,
            title=f"{question} {fixed}, {mode_words(self.mode)}",
            text=" ".join(words),
            frames=tuple(frames),
            columns=min(columns, len(frames)),
        )


def _few(shots: Sequence[str]) -> list[str]:
    """Take the fewest shots, the middle and the most: with nine data sets each is a page."""
    return list(dict.fromkeys((shots[0], shots[len(shots) // 2], shots[-1])))


def _series_looks(series: Sequence[Series], looks: Looks) -> dict[str, Look]:
    apart = looks.apart([each.encoders[-1] for each in series])
    return {each.label: apart[each.encoders[-1]] for each in series}


def _references(
    series: Sequence[Series], averages: Sequence[Average], looks: Looks
) -> dict[EncoderInfo, Look]:
    """Choose the best encoder of each method that is in no series, at most three in all."""
    within = {encoder for each in series for encoder in each.encoders}
    totals: dict[EncoderInfo, list[float]] = {}
    for a in averages:
        if a.encoder not in within and a.interval is not None:
            totals.setdefault(a.encoder, []).append(a.interval.mean)
    best: dict[str, EncoderInfo] = {}
    for encoder in sorted(totals, key=lambda e: -sum(totals[e]) / len(totals[e])):
        own = encoder.label if encoder.method == "released" else encoder.method
        best.setdefault(own, encoder)
    kept = list(best.values())[:_MOST_REFERENCES]
    return {e: Look(looks.of(e).color, "", DASHES[1 + i % 3], 0.9) for i, e in enumerate(kept)}


def _series_traces(
    series: Series,
    look: Look,
    here: Mapping[EncoderInfo, Average],
    rows: Sequence[Scaling],
) -> list[Trace]:
    marks = []
    for encoder in series.encoders:
        average = here.get(encoder)
        if average is None or average.interval is None or not encoder.samples:
            continue
        ends = percent_ends(average.interval)
        y, words = 100 * average.interval.mean, short_count(encoder.samples)
        marks.append(Mark(encoder.samples, y, *ends, average.missing > 0, words))
    if not marks:
        return []
    slopes = [
        r.value
        for r in rows
        if r.kind == "slope" and r.series == series.label and r.value is not None
    ]
    measured = Trace(series.label, look, tuple(marks), joined=not slopes)
    if not slopes or len(marks) < 2:
        return [measured]
    line = _line(marks, 100 * slopes[0])
    return [measured, Trace("", Look(look.color, "", look.dash), line, kind="fit")]


def _line(marks: Sequence[Mark], slope: float) -> tuple[Mark, ...]:
    """Return both ends of the fitted line, which goes through the mean of the points."""
    x = sum(math.log10(mark.x) for mark in marks) / len(marks)
    y = sum(mark.y for mark in marks) / len(marks)
    return tuple(
        Mark(mark.x, y + slope * (math.log10(mark.x) - x), at=mark.at)
        for mark in (marks[0], marks[-1])
    )


def _crossings(
    reference: EncoderInfo, y: float, looks: Mapping[str, Look], rows: Sequence[Scaling]
) -> list[Trace]:
    found = []
    for row in rows:
        known = row.value is not None and row.base is not None
        if row.kind != "crossing" or row.reference != reference.label or not known:
            continue
        if row.series not in looks or row.value is None or row.base is None:
            continue
        x = row.value * row.base
        if x <= 0:  # a table of an earlier version, which rounded 1e-7 to 0
            continue
        low = None if row.ci95_low is None else row.ci95_low * row.base
        high = row.largest if row.ci95_high is None else row.ci95_high * row.base
        if low is None:
            low = row.smallest
        mark = Mark(x, y, low, high, at=f"{row.series} reaches {reference.label}")
        look = Look(looks[row.series].color, "", "")
        found.append(Trace("", look, (mark,), False, across=True, kind="crossing"))
    return found
