"""Accuracy against what a pre-training cost: GPU-hours, and samples seen."""

import math
from collections.abc import Iterator, Mapping, Sequence

from hpc_xfer.reporting.charts.chart import ACCURACY, AxisScale, Chart, Frame, Mark, Ticks, Trace
from hpc_xfer.reporting.charts.tables import FigureTables, encoders_of, percent_ends, shot_axis
from hpc_xfer.reporting.charts.words import covers_averages, file_name
from hpc_xfer.reporting.gpu_hours import gpu_hours
from hpc_xfer.results.answers.terms import dataset_words, mode_words, shots_text
from hpc_xfer.results.averages import Average
from hpc_xfer.results.tables.csv_files import Row
from hpc_xfer.study.labels import short_count

_MOST_NAMED = 7  # encoders with an entry each in the legend


def cost_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make one figure per mode: left, hours of pre-training; right, samples seen."""
    hours = {label: found for label, found in _hours(tables.pretrainings).items() if found > 0}
    unit = "GPU-hours" if any(row.get("gpu") for row in tables.pretrainings) else "CPU-hours"
    for mode in tables.modes:
        for dataset in tables.main_datasets(mode)[:1]:
            averages = [
                a
                for a in tables.ended(mode)
                if a.dataset == dataset and a.encoder.method != "scratch"
            ]
            seen = {a.label: float(a.encoder.samples_seen or 0) for a in averages}
            known = {a.label: hours[a.label] for a in averages if a.label in hours}
            costs = [(unit, known), ("samples seen", {k: v for k, v in seen.items() if v > 0})]
            shots = shot_axis(averages)
            looks = _Points(tables, averages)
            frames = [
                looks.frame(name, axis, cost)
                for name in shots
                for axis, cost in costs
                if len({cost[a.label] for a in averages if a.label in cost}) > 1
            ]
            if frames:
                yield _chart(mode, dataset, unit, averages, frames, looks)


def _hours(rows: Sequence[Row]) -> dict[str, float]:
    """Average over the seeds of each label, those whose hours are known."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if (hours := gpu_hours(row)) is not None:
            found.setdefault(row["label"], []).append(hours)
    return {label: sum(each) / len(each) for label, each in found.items()}


class _Points:
    """Marks of all encoders, with one legend for few of them and a short key for many."""

    def __init__(self, tables: FigureTables, averages: Sequence[Average]) -> None:
        encoders = encoders_of(averages)
        self.averages = averages
        self.looks = {e: tables.looks.of(e, shades=True) for e in encoders}
        self.keys: tuple[Trace, ...] = ()
        if len(encoders) <= _MOST_NAMED:
            self.looks = tables.looks.apart(encoders)
        else:
            self.keys = tables.looks.keys(encoders)

    def frame(self, shots: str, axis: str, cost: Mapping[str, float]) -> Frame:
        here = [a for a in self.averages if a.shots == shots and a.label in cost]
        traces = tuple(
            Trace(a.label, self.looks[a.encoder], (_mark(a, cost[a.label], axis),), joined=False)
            for a in here
        )
        ticks = log_ticks(list(cost.values()), axis == "samples seen")
        x = AxisScale(axis, ticks, log=True, ends=_around(list(cost.values())))
        return Frame(shots_text(shots), traces, x, ACCURACY)


def _chart(
    mode: str,
    dataset: str,
    unit: str,
    averages: Sequence[Average],
    frames: Sequence[Frame],
    points: _Points,
) -> Chart:
    question = "What does accuracy cost in pre-training?"
    many = " Larger sizes are darker." if points.keys else ""
    return Chart(
        name=file_name("cost", mode),
        question=question,
        title=f"{question} {dataset_words(dataset)}, {mode_words(mode)}",
        text=f"Test accuracy against {unit} of one pre-training (time times ranks, without "
        f"fine-tuning) and against samples seen.{many} " + covers_averages(averages),
        frames=tuple(frames),
        columns=len({frame.x.label for frame in frames}),
        height=1.05,
        keys=points.keys,
    )


def _mark(average: Average, x: float, axis: str) -> Mark:
    assert average.interval is not None
    ends = percent_ends(average.interval)
    at = short_count(round(x)) if axis == "samples seen" else f"{x:.3g} h"
    return Mark(x, 100 * average.interval.mean, *ends, average.missing > 0, at)


def log_ticks(values: Sequence[float], counts: bool) -> Ticks:
    """Choose round numbers that span the values: decades, with 3 between them where these are few.

    A chart is data, and matplotlib draws it later, so its LogLocator is not at hand here.
    """
    low, high = min(values), max(values)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps: tuple[int, ...] = (1, 3) if last - first <= 2 else (1,)
    if high / low < 10:  # decades alone would be one tick
        steps = (1, 2, 3, 5)
    found = [s * 10.0**e for e in range(first, last + 1) for s in steps]
    inside = [n for n in found if low / 1.3 <= n <= high * 1.3]
    if len(inside) < 2:
        inside = [float(f"{n:.2g}") for n in (low, high)]
    return tuple((n, short_count(round(n)) if counts else f"{n:g}") for n in inside)


def _around(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = max((high / low) ** 0.08, 1.15)
    return low / room, high * room
