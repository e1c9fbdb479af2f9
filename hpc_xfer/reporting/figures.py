"""Draw the figures of a study from its CSVs; the one file that imports matplotlib.

    draw(study_dir.summary, study_dir.figures)

The same CSVs give the same bytes. Every figure is a PNG to look at and an SVG to print.
"""

import io
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer.reporting import figure_data
from hpc_xfer.reporting.figure_data import GRAY, Curve
from hpc_xfer.reporting.figure_specs import FigureSpec, figure_specs
from hpc_xfer.results import csv_files
from hpc_xfer.results.averages import MEAN, read_averages
from hpc_xfer.results.paired_differences import paired_differences
from hpc_xfer.results.scores import read_scores
from hpc_xfer.study.labels import short_count
from hpc_xfer.system import atomic_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
_MOST_COLUMNS = 3  # of panels; four are too small to read on paper
_STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#444444",
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#e3e3e3", "grid.linewidth": 0.8,
    "axes.axisbelow": True, "xtick.color": "#444444", "ytick.color": "#444444",
    "legend.frameon": False, "svg.fonttype": "path", "svg.hashsalt": "hpc_xfer",
    "text.parse_math": False,  # a $ in a name is a $
}  # fmt: skip


@dataclass(frozen=True)
class FigureFile:
    """One figure on disk."""

    title: str
    caption: str
    png: Path
    svg: Path


def draw(summary: Path, figures: Path) -> list[FigureFile]:
    """Draw every figure that the CSVs in `summary` allow; see figure_specs.

    Raises:
        StoreError: the CSVs are not there, or `figures` cannot be written.
    """
    averages = read_averages(csv_files.read(summary / "averages.csv"))
    scores = read_scores(csv_files.read(summary / "cells.csv"))
    specs = figure_specs(averages, paired_differences(scores, averages))
    with _style():
        return [_save(spec, figures) for spec in specs]


def _style() -> AbstractContextManager[None]:
    """Our style over matplotlib's defaults: a matplotlibrc of the user changes no byte."""
    import matplotlib.style

    return matplotlib.style.context(_STYLE, after_reset=True)


def _save(spec: FigureSpec, folder: Path) -> FigureFile:
    """Write both files, without date or version, which would change their bytes."""
    figure = _panels(spec)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # placed once, which takes longer than drawing does
    png, svg = folder / f"{spec.name}.png", folder / f"{spec.name}.svg"
    for path, metadata in ((png, {"Software": None}), (svg, {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=path.suffix[1:], dpi=_DPI, metadata=metadata)
        atomic_files.write_bytes(path, buffer.getvalue())
    return FigureFile(spec.title, spec.caption, png, svg)


def _panels(spec: FigureSpec) -> "Figure":
    """One panel per data set, the mean first; one legend to the right of all panels."""
    from matplotlib.figure import Figure

    names = sorted(dict.fromkeys(a.dataset for a in spec.averages), key=lambda name: name != MEAN)
    columns = min(_MOST_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.9 * columns + 1.7, 2.6 * rows + 0.2), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i >= len(names):
            axes.set_axis_off()
            continue
        _panel(axes, spec, names[i])
        if i % columns == 0:
            axes.set_ylabel(spec.ylabel)
        if i + columns >= len(names):
            axes.set_xlabel(spec.xlabel)
    handles = {
        label: handle
        for axes in grid.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", handlelength=2.6)
    return figure


def _panel(axes: "Axes", spec: FigureSpec, name: str) -> None:
    if spec.zero:
        axes.axhline(0, color=GRAY, linewidth=1, linestyle=(0, (4, 1.5)), zorder=1)
    for curve in spec.curves([a for a in spec.averages if a.dataset == name]):
        _plot(axes, curve)
    axes.set_title("mean of data sets" if name == MEAN else name, loc="left")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -100 if spec.zero else 0), min(high, 100))  # intervals may go beyond
    if spec.sizes:
        axes.set_xscale("log")
        axes.set_xticks(spec.sizes, [short_count(size) for size in spec.sizes])
        axes.set_xticks([], minor=True)
        axes.margins(x=0.08)
    else:
        shots = figure_data.shot_axis(spec.averages)
        axes.set_xticks(range(len(shots)), shots)
        axes.set_xlim(-0.4, len(shots) - 0.6)


def _plot(axes: "Axes", curve: Curve) -> None:
    """Points with bars, in percent; a point of one value has no bar, a gap breaks the line."""
    found = [average.interval if average else None for average in curve.averages]
    if not any(found):
        return
    axes.errorbar(
        curve.x,
        [nan if interval is None else 100 * interval.mean for interval in found],
        yerr=[100 * interval.half if interval and interval.half else nan for interval in found],
        label=curve.label,
        linewidth=1.6,
        markersize=4.2,
        elinewidth=1.0,
        capsize=1.8,
        **curve.style,
    )
    partial = [
        (x, 100 * average.interval.mean)
        for x, average in zip(curve.x, curve.averages, strict=True)
        if average and average.interval and average.missing
    ]
    for x, y in partial:
        look = {"marker": curve.style["marker"], "color": curve.style["color"]}
        axes.plot(x, y, **look, markerfacecolor="white", markersize=4.2, zorder=3)
