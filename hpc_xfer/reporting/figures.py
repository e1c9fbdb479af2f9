"""Figures from the CSVs of a study: the one file that knows matplotlib.

    draw(study_dir.summary, study_dir.figures)

The same CSVs give the same bytes. Every figure is a PNG to look at and an SVG to print.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer.reporting import figure_data
from hpc_xfer.reporting.figure_data import GREY, Curve, Style
from hpc_xfer.results import csv_files
from hpc_xfer.results.averages import MEAN, Average, EncoderInfo, read_averages, read_scores
from hpc_xfer.results.paired_differences import paired_differences
from hpc_xfer.study.labels import short_count
from hpc_xfer.system import atomic_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
_HOLLOW = " A hollow point averages fewer cells than planned (see missing.csv)."
_MOST_COLUMNS = 3  # of panels; four are too small to read on paper
_STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#444444",
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#e3e3e3", "grid.linewidth": 0.8,
    "axes.axisbelow": True, "xtick.color": "#444444", "ytick.color": "#444444",
    "legend.frameon": False, "svg.fonttype": "path", "svg.hashsalt": "hpc_xfer",
}  # fmt: skip


@dataclass(frozen=True)
class FigureFile:
    """One figure on disk."""

    title: str
    caption: str
    png: Path
    svg: Path


@dataclass(frozen=True)
class _Sheet:
    """What the panels of one figure share."""

    averages: Sequence[Average]  # shares; differences of shares where `zero`
    lines: Callable[[Sequence[Average]], list[Curve]]  # of the averages of one panel
    ylabel: str
    zero: bool = False  # a line at 0, for differences
    xlabel: str = "shots per class"
    sizes: Sequence[int] = ()  # of pre-training, where they are the axis; else shots are


def draw(summary: Path, figures: Path) -> list[FigureFile]:
    """Draw what the CSVs in `summary` allow.

    Accuracy and gain over shots, accuracy over the size of the pre-training and, where it left
    snapshots, over the samples it had seen.

    Raises:
        StoreError: the CSVs are not there, or `figures` cannot be written.
    """
    means = read_averages(csv_files.read(summary / "averages.csv"))
    differences = paired_differences(read_scores(csv_files.read(summary / "cells.csv")), means)
    looks = figure_data.styles(figure_data.final(means))
    with _style():
        drawn: list[FigureFile] = []
        for mode in dict.fromkeys(mean.mode for mean in means):
            here = [mean for mean in means if mean.mode == mode and mean.interval]
            more = [gain for gain in differences if gain.mode == mode and gain.interval]
            drawn += _accuracy(figures, mode, figure_data.final(here), looks)
            drawn += _gain(figures, mode, figure_data.final(more), looks)
            drawn += _size(figures, mode, here)
            drawn += _course(figures, mode, here)
        return drawn


def _style() -> AbstractContextManager[None]:
    """Ours over matplotlib's defaults: a matplotlibrc of the user changes no byte."""
    import matplotlib.style

    return matplotlib.style.context(_STYLE, after_reset=True)


def _accuracy(
    folder: Path, mode: str, means: Sequence[Average], looks: dict[EncoderInfo, Style]
) -> Iterator[FigureFile]:
    if not means:
        return
    sheet = _Sheet(
        means, lambda part: figure_data.over_shots(part, means, looks), "test accuracy (%)"
    )
    caption = (
        "Test accuracy over shots. Bars are 95% intervals over draws, or over pre-training seeds "
        "where a label has several; a point without a bar is a single value."
    )
    yield _save(sheet, folder / f"accuracy_{mode}", f"Accuracy over shots ({mode})", caption)


def _gain(
    folder: Path, mode: str, differences: Sequence[Average], looks: dict[EncoderInfo, Style]
) -> Iterator[FigureFile]:
    if not differences:
        return
    sheet = _Sheet(
        differences,
        lambda part: figure_data.over_shots(part, differences, looks),
        "gain over scratch (points)",
        zero=True,
    )
    caption = (
        "Test accuracy minus that of training from scratch on the same images, draw by draw. A bar "
        "that crosses 0 shows no difference."
    )
    yield _save(sheet, folder / f"gain_{mode}", f"Gain over scratch ({mode})", caption)


def _size(folder: Path, mode: str, means: Sequence[Average]) -> Iterator[FigureFile]:
    caption = "Test accuracy over the number of pre-training samples, with 95% intervals."
    for name, part in figure_data.series(means).items():
        sheet = _sized(part, figure_data.samples, "pre-training samples")
        title = f"Accuracy over pre-training size: {name} ({mode})"
        yield _save(sheet, folder / f"size_{mode}_{_slug(name)}", title, caption)


def _course(folder: Path, mode: str, means: Sequence[Average]) -> Iterator[FigureFile]:
    caption = (
        "Test accuracy from snapshots of one pre-training over the samples it had seen, with 95% "
        "intervals; the last point is its end. A snapshot is taken before the learning rate has "
        "come down, so a run that was meant to end there may be better."
    )
    for name, part in figure_data.courses(means).items():
        sheet = _sized(part, figure_data.samples_seen, "samples seen")
        title = f"Accuracy over samples seen: {name} ({mode})"
        yield _save(sheet, folder / f"seen_{mode}_{_slug(name)}", title, caption)


def _sized(means: Sequence[Average], size: figure_data.Size, xlabel: str) -> _Sheet:
    return _Sheet(
        means,
        lambda part: figure_data.over_size(part, means, size),
        "test accuracy (%)",
        xlabel=xlabel,
        sizes=figure_data.sizes(means, size),
    )


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _panels(sheet: _Sheet) -> "Figure":
    """One panel per data set, the mean first; one legend right of all."""
    from matplotlib.figure import Figure

    names = sorted(dict.fromkeys(a.dataset for a in sheet.averages), key=lambda name: name != MEAN)
    columns = min(_MOST_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.9 * columns + 1.7, 2.6 * rows + 0.2), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(names):
            axes.set_axis_off()
            continue
        _panel(axes, sheet, names[i])
        if i % columns == 0:
            axes.set_ylabel(sheet.ylabel)
        if i + columns >= len(names):
            axes.set_xlabel(sheet.xlabel)
    handles = {
        label: handle
        for axes in grid.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", handlelength=2.6)
    return figure


def _panel(axes: "Axes", sheet: _Sheet, name: str) -> None:
    if sheet.zero:
        axes.axhline(0, color=GREY, linewidth=1, linestyle=(0, (4, 1.5)), zorder=1)
    for line in sheet.lines([a for a in sheet.averages if a.dataset == name]):
        _line(axes, line)
    axes.set_title("mean of data sets" if name == MEAN else name, loc="left")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -100 if sheet.zero else 0), min(high, 100))  # intervals may go beyond
    if sheet.sizes:
        axes.set_xscale("log")
        axes.set_xticks(sheet.sizes, [short_count(size) for size in sheet.sizes])
        axes.set_xticks([], minor=True)
        axes.margins(x=0.08)
    else:
        shots = figure_data.shot_axis(sheet.averages)
        axes.set_xticks(range(len(shots)), shots)
        axes.set_xlim(-0.4, len(shots) - 0.6)


def _line(axes: "Axes", line: Curve) -> None:
    """Points with bars, in percent; a point of one value has none, and a gap breaks the line."""
    found = [average.interval if average else None for average in line.averages]
    if not any(found):
        return
    axes.errorbar(
        line.x,
        [nan if interval is None else 100 * interval.mean for interval in found],
        yerr=[100 * interval.half if interval and interval.half else nan for interval in found],
        label=line.label,
        linewidth=1.6,
        markersize=4.2,
        elinewidth=1.0,
        capsize=1.8,
        **line.style,
    )
    partial = [
        (x, 100 * average.interval.mean)
        for x, average in zip(line.x, line.averages, strict=True)
        if average and average.interval and average.missing
    ]
    for x, y in partial:
        look = {"marker": line.style["marker"], "color": line.style["color"]}
        axes.plot(x, y, **look, markerfacecolor="white", markersize=4.2, zorder=3)


def _save(sheet: _Sheet, stem: Path, title: str, caption: str) -> FigureFile:
    """Without date or version in the files, which would change their bytes."""
    figure, averages = _panels(sheet), sheet.averages
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # placed once, which takes longer than drawing does
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    caption += _HOLLOW if any(average.missing for average in averages) else ""
    for path, metadata in ((png, {"Software": None}), (svg, {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=path.suffix[1:], dpi=_DPI, metadata=metadata)
        atomic_files.write_bytes(path, buffer.getvalue())
    return FigureFile(title, caption, png, svg)
