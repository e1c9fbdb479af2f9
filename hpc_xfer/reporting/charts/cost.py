"""Accuracy against what a pre-training cost: GPU-hours, and samples seen."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence

from hpc_xfer.reporting.charts.chart import AxisScale, Chart, Frame, Mark, Ticks, Trace
from hpc_xfer.reporting.charts.tables import FigureTables, encoders_of, percent_ends, shot_axis
from hpc_xfer.reporting.charts.words import covers, file_name
from hpc_xfer.results.answers.terms import dataset_words, mode_words, shots_text
from hpc_xfer.results.averages import Average
from hpc_xfer.results.tables.csv_files import Row, number
from hpc_xfer.study.labels import short_count

_FEW = 7


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


def gpu_hours(row: Row) -> float:
    """Hours of one pre-training times its ranks; a run that was continued may have had several."""
    seconds = number(row.get("seconds", "")) or 0.0
    parts = json.loads(row["ranks"]) if row.get("ranks") else []
    if not parts:
        return seconds / 3600
    if not isinstance(parts, list):
        return seconds / 3600 * float(parts)
    steps = number(row.get("steps", "")) or 0.0
    starts = [float(part["from_step"]) for part in parts]
    ends = [*starts[1:], max(steps, starts[-1])]
    total = ends[-1] - starts[0]
    if total <= 0:
        return seconds / 3600 * float(parts[-1]["ranks"])
    shares = [(end - start) / total for start, end in zip(starts, ends, strict=True)]
    ranks = sum(s * float(part["ranks"]) for s, part in zip(shares, parts, strict=True))
    return seconds / 3600 * ranks


def _hours(rows: Sequence[Row]) -> dict[str, float]:
    """Mean over the seeds of each label."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["label"], []).append(gpu_hours(row))
    return {label: sum(each) / len(each) for label, each in found.items()}


class _Points:
    """Marks of all encoders, with one legend for few of them and a short key for many."""

    def __init__(self, tables: FigureTables, averages: Sequence[Average]) -> None:
        encoders = encoders_of(averages)
        self.averages = averages
        self.looks = {e: tables.looks.of(e, shades=True) for e in encoders}
        self.keys: tuple[Trace, ...] = ()
        if len(encoders) <= _FEW:
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
        return Frame(
            shots_text(shots), traces, x, AxisScale("test accuracy (%)", most=(0.0, 100.0))
        )


def _chart(
    mode: str,
    dataset: str,
    unit: str,
    averages: Sequence[Average],
    frames: Sequence[Frame],
    points: _Points,
) -> Chart:
    bars = any(a.interval and a.interval.half is not None for a in averages)
    question = "What does accuracy cost in pre-training?"
    many = " Larger sizes are darker." if points.keys else ""
    return Chart(
        name=file_name("cost", mode),
        group="cost",
        question=question,
        title=f"{question} {dataset_words(dataset)}, {mode_words(mode)}",
        text=f"Test accuracy against {unit} of one pre-training (time times ranks, without "
        f"fine-tuning) and against samples seen.{many} "
        + covers((a.target for a in averages), bars),
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
    """Round numbers that span the values: decades, with 3 between them where these are few."""
    low, high = min(values), max(values)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps: tuple[int, ...] = (1, 3) if last - first <= 2 else (1,)
    if high / low < 10:
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
