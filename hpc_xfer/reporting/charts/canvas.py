"""Draw a chart; the one file that imports matplotlib.

Sizes are those of a paper: one column is 3.25 inches wide, two are 6.75, text has 6.5 to 8 points.
All places are worked out here, in inches: layout engines of matplotlib take longer than all else.
"""

import functools
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc_xfer.reporting.charts import arrangement
from hpc_xfer.reporting.charts.chart import (
    Chart,
    Frame,
    Guide,
    Trace,
    columns_of,
    rows_of,
    x_ends,
    y_ends,
)
from hpc_xfer.reporting.charts.looks import darker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

ONE_COLUMN, TWO_COLUMNS = 3.25, 6.75  # inches
_DPI = 300
_TEXT, _TITLE, _SMALL = 7.0, 8.0, 6.5  # points
_LINE = 0.135  # inches from one line of text to the next
_MOST_DIRECT = 6  # lines with a label at their end; more go into a legend
_LEAST_WIDTH = 1.4  # inches of a frame beside its labels
_STYLE = {
    "font.family": "DejaVu Sans", "font.size": _TEXT, "axes.titlesize": _TEXT,
    "axes.labelsize": _TEXT, "xtick.labelsize": _SMALL, "ytick.labelsize": _SMALL,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#444444",
    "axes.linewidth": 0.6, "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5, "axes.axisbelow": True, "xtick.color": "#444444",
    "ytick.color": "#444444", "xtick.major.size": 2, "ytick.major.size": 2,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.pad": 2,
    "ytick.major.pad": 2, "axes.labelpad": 2, "legend.frameon": False,
    "legend.fontsize": _SMALL, "lines.markersize": 3.2, "lines.markeredgewidth": 0.7,
    "svg.fonttype": "path", "svg.hashsalt": "hpc_xfer", "pdf.fonttype": 42,
    "text.parse_math": False,  # a $ in a name is a $
}  # fmt: skip
# Without date or version, which would change the bytes.
_METADATA: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)


@dataclass(frozen=True)
class _Box:
    """Place of a frame, in inches from the lower left corner."""

    left: float
    bottom: float
    width: float
    height: float


@dataclass(frozen=True)
class _Plan:
    """Places of all frames and what surrounds them."""

    width: float
    height: float
    title: tuple[str, ...]
    boxes: tuple[_Box, ...]
    direct: bool  # labels at the ends of lines
    legend: _Box | None  # None: no legend


def style() -> AbstractContextManager[None]:
    """Set our style over matplotlib's defaults: a matplotlibrc of the user changes no byte."""
    import matplotlib.style

    return matplotlib.style.context(_STYLE, after_reset=True)


def rendered(chart: Chart) -> dict[str, bytes]:
    """Draw a chart in every format."""
    figure = _figure(chart)
    found = {}
    for kind, metadata in _METADATA.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=dict(metadata))
        found[kind] = buffer.getvalue()
    return found


def _figure(chart: Chart) -> "Figure":
    from matplotlib.figure import Figure

    entries = _entries(chart)
    plan = _plan(chart, entries)
    figure = Figure(figsize=(plan.width, plan.height))
    for i, line in enumerate(plan.title):
        y = plan.height - 0.04 - i * 0.15
        figure.text(0.04 / plan.width, y / plan.height, line, fontsize=_TITLE, va="top")
    number = 0
    rows = rows_of(chart)
    for r, row in enumerate(rows):
        ends = y_ends(row)
        for c, frame in enumerate(row):
            axes = _axes(figure, plan, plan.boxes[number])
            below = rows[r + 1][c] if r + 1 < len(rows) and c < len(rows[r + 1]) else None
            _draw_frame(axes, frame, x_ends(frame, row), ends)
            _label_axes(axes, frame, row, below, plan.boxes[number])
            if plan.direct:
                _direct_labels(figure, plan, plan.boxes[number], frame, ends)
            number += 1
    if plan.legend is not None:
        _legend(figure, plan, plan.legend, entries)
    return figure


def _axes(figure: "Figure", plan: _Plan, box: _Box) -> "Axes":
    w, h = plan.width, plan.height
    return figure.add_axes((box.left / w, box.bottom / h, box.width / w, box.height / h))


def _plan(chart: Chart, entries: Sequence[Trace]) -> _Plan:
    columns, rows = columns_of(chart), rows_of(chart)
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS
    title = tuple(arrangement.wrapped(chart.title, width - 0.1, lambda t: text_width(t, _TITLE)))
    own = [_own_labels(row) for row in rows]
    left = max(_left(row[0]) for row in rows)
    between = max([_left(frame) for row in rows if _own_labels(row) for frame in row], default=0.12)
    ends = _end_labels(chart, columns)
    right = 0.08 + (max(map(text_width, ends)) + 0.06 if ends else 0.0)
    each = (width - left - (between + right) * (columns - 1) - right) / columns
    direct = bool(ends) and each >= _LEAST_WIDTH
    if not direct:
        right = 0.08
        each = (width - left - (between + right) * (columns - 1) - right) / columns
    height = chart.height or {1: 1.9, 2: 1.6, 3: 1.4}.get(columns, 1.15)
    above, under = 0.2, 0.2
    row_heights = [
        height + above + under + (0.13 if _labelled(rows, r) else 0.0) for r in range(len(rows))
    ]
    top = 0.08 + 0.15 * len(title)
    needs_legend = bool(entries) and not direct
    foot = 0.03
    slot = None
    empty = len(rows) * columns - len(chart.frames)
    lines = 0
    if needs_legend:
        room = empty * (each + between + right)
        widest = max(_entry_width(entry) for entry in entries)
        if empty and widest <= room and len(entries) * _LINE <= height + above:
            slot = (room, len(entries) * _LINE)
        else:
            count = arrangement.in_columns([_entry_width(e) for e in entries], width - 0.1)
            lines = -(-len(entries) // count)
            foot += lines * _LINE + 0.06
    total = top + sum(row_heights) + foot
    boxes, y = [], total - top
    for r, row in enumerate(rows):
        bottom = y - above - height
        boxes += [
            _Box(left + c * (each + between + right), bottom, each, height) for c in range(len(row))
        ]
        y -= row_heights[r]
    legend = None
    if slot is not None:
        last = boxes[-1]
        x = last.left + each + right + between / 2
        legend = _Box(x, last.bottom, width - x - 0.04, height + above)
    elif needs_legend:
        legend = _Box(0.05, 0.03, width - 0.1, lines * _LINE)
    assert len(own) == len(rows)
    return _Plan(width, total, title, tuple(boxes), direct, legend)


def _own_labels(row: Sequence[Frame]) -> bool:
    """True where frames of a row have names of their own along y."""
    return len({frame.y.ticks for frame in row}) > 1


def _left(frame: Frame) -> float:
    """Room for the ticks and the label of y."""
    if not frame.y.ticks:
        return 0.44
    return min(_MOST_NAME, max(text_width(name, _SMALL) for _, name in frame.y.ticks)) + 0.12


_MOST_NAME = 1.5  # inches of a name along y


def _labelled(rows: Sequence[Sequence[Frame]], r: int) -> bool:
    """True where a frame of this row has its x axis named below it."""
    for c, frame in enumerate(rows[r]):
        below = rows[r + 1][c] if r + 1 < len(rows) and c < len(rows[r + 1]) else None
        if below is None or below.x.label != frame.x.label:
            return True
    return False


def _entries(chart: Chart) -> list[Trace]:
    """What a legend explains: every name once."""
    if chart.keys:
        return list(chart.keys)
    if all(frame.y.ticks for frame in chart.frames):
        return []  # names stand along y
    found: dict[str, Trace] = {}
    for frame in chart.frames:
        for trace in frame.traces:
            if trace.name:
                found.setdefault(trace.name, trace)
        for guide in frame.guides:
            if guide.name:
                found.setdefault(guide.name, _as_trace(guide))
    return list(found.values())


def _as_trace(guide: Guide) -> Trace:
    return Trace(guide.name, guide.look, ())


def _end_labels(chart: Chart, columns: int) -> list[str]:
    """Labels at the ends of lines; none where a legend is easier to read."""
    if chart.keys or columns > 2 or any(frame.y.ticks for frame in chart.frames):
        return []
    most = max(len(_named(frame)) for frame in chart.frames)
    if most > _MOST_DIRECT or any(not t.joined for f in chart.frames for t in f.traces if t.name):
        return []
    return [name for frame in chart.frames for name, _, _ in _named(frame)]


def _named(frame: Frame) -> list[tuple[str, str, float]]:
    """Name, color and last height of each line, and of each guide."""
    lines = [(t.name, t.look.color, t.marks[-1].y) for t in frame.traces if t.name and t.marks]
    return lines + [(g.name, g.look.color, g.at) for g in frame.guides if g.name]


def _draw_frame(
    axes: "Axes", frame: Frame, along: tuple[float, float], up: tuple[float, float]
) -> None:
    if frame.x.log:
        axes.set_xscale("log")
    axes.set_xlim(along)
    axes.set_ylim(up)
    for guide in frame.guides:
        line = axes.axvline if guide.upright else axes.axhline
        look = guide.look
        line(guide.at, color=look.color, linestyle=look.dash, linewidth=look.width, zorder=1.5)
    for trace in frame.traces:
        _draw_trace(axes, trace)


def _draw_trace(axes: "Axes", trace: Trace) -> None:
    """Draw lines and marks, the intervals under them, and white centers of hollow marks."""
    look, marks = trace.look, trace.marks
    bars = [m for m in marks if m.low is not None and m.high is not None]
    if bars and trace.across:
        ends = [m.low for m in bars], [m.high for m in bars]
        axes.hlines([m.y for m in bars], *ends, colors=look.color, linewidths=0.8, zorder=2)
    elif bars:
        ends = [m.low for m in bars], [m.high for m in bars]
        axes.vlines([m.x for m in bars], *ends, colors=look.color, linewidths=0.8, zorder=2)
    x, y = [m.x for m in marks], [m.y for m in marks]
    dash = look.dash if trace.joined and look.dash else "none"
    axes.plot(
        x, y, color=look.color, marker=look.marker or "none", linestyle=dash,
        linewidth=look.width, zorder=2.5,
    )  # fmt: skip
    hollow = [m for m in marks if m.hollow]
    if hollow and look.marker:
        axes.plot(
            [m.x for m in hollow], [m.y for m in hollow], color=look.color, marker=look.marker,
            linestyle="none", markerfacecolor="white", zorder=3,
        )  # fmt: skip


def _label_axes(
    axes: "Axes", frame: Frame, row: Sequence[Frame], below: Frame | None, box: _Box
) -> None:
    first = frame is row[0]
    title = arrangement.fitting(frame.title, box.width + 0.1, text_width)
    axes.set_title(title, loc="left", pad=3)
    if below is None or below.x.label != frame.x.label:
        axes.set_xlabel(arrangement.fitting(frame.x.label, box.width + 0.1, text_width))
    if first and frame.y.label:
        axes.set_ylabel(arrangement.fitting(frame.y.label, box.height + 0.3, text_width))
    _x_ticks(axes, frame, box)
    if frame.y.ticks:
        names = [arrangement.fitting(n, _MOST_NAME, _small_width) for _, n in frame.y.ticks]
        axes.set_yticks([at for at, _ in frame.y.ticks], names)
    else:
        axes.locator_params(axis="y", nbins=max(3, int(box.height / 0.28)))
    if not first and not _own_labels(row):
        axes.tick_params(axis="y", labelleft=False)


def _x_ticks(axes: "Axes", frame: Frame, box: _Box) -> None:
    """Set the ticks; names that would overlap are left out, the ticks stay."""
    if not frame.x.ticks:
        axes.locator_params(axis="x", nbins=max(2, int(box.width / 0.35)))
        return
    low, high = axes.get_xlim()
    places = [_share(at, low, high, frame.x.log) * box.width for at, _ in frame.x.ticks]
    widths = [_small_width(name) for _, name in frame.x.ticks]
    kept = arrangement.apart(places, widths, 0.03)
    names = [name if k else "" for (_, name), k in zip(frame.x.ticks, kept, strict=True)]
    axes.set_xticks([at for at, _ in frame.x.ticks], names)
    axes.set_xticks([], minor=True)


def _share(value: float, low: float, high: float, log: bool) -> float:
    """Place along an axis, from 0 to 1."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _direct_labels(
    figure: "Figure", plan: _Plan, box: _Box, frame: Frame, ends: tuple[float, float]
) -> None:
    """Write names at the ends of lines, moved apart; a thin line leads to one that was moved."""
    named = _named(frame)
    wanted = [box.bottom + box.height * _share(y, *ends, False) for _, _, y in named]
    places = arrangement.spread_out(wanted, 0.115, box.bottom, box.bottom + box.height)
    x = box.left + box.width
    for (name, color, _), at, place in zip(named, wanted, places, strict=True):
        if abs(place - at) > 0.03:
            _lead(figure, plan, (x, at), (x + 0.055, place), color)
        figure.text(
            (x + 0.07) / plan.width, place / plan.height, " ".join(name.split()),
            color=darker(color), fontsize=_SMALL, va="center_baseline",
        )  # fmt: skip


def _lead(
    figure: "Figure", plan: _Plan, start: tuple[float, float], end: tuple[float, float], color: str
) -> None:
    from matplotlib.lines import Line2D

    x = [start[0] / plan.width, end[0] / plan.width]
    y = [start[1] / plan.height, end[1] / plan.height]
    figure.add_artist(Line2D(x, y, color=color, linewidth=0.5))


def _legend(figure: "Figure", plan: _Plan, box: _Box, entries: Sequence[Trace]) -> None:
    widths = [_entry_width(entry) for entry in entries]
    most = box.width - 0.5
    labels = [arrangement.fitting(entry.name, most, _small_width) for entry in entries]
    figure.legend(
        [_handle(entry) for entry in entries],
        labels,
        loc="upper left",
        bbox_to_anchor=(box.left / plan.width, (box.bottom + box.height) / plan.height),
        ncols=arrangement.in_columns(widths, box.width),
        handlelength=2.4,
        handletextpad=0.5,
        columnspacing=1.2,
        labelspacing=0.35,
        borderpad=0,
        borderaxespad=0,
    )


def _handle(entry: Trace) -> "Line2D":
    from matplotlib.lines import Line2D

    look = entry.look
    dash = (look.dash or "none") if entry.joined else "none"
    return Line2D(
        [], [], color=look.color, marker=look.marker or "none", linestyle=dash,
        linewidth=look.width,
    )  # fmt: skip


def _entry_width(entry: Trace) -> float:
    """Width of an entry of a legend with its line and the space after it."""
    return _small_width(entry.name) + (2.4 + 0.5 + 1.2 + 0.2) * _SMALL / 72


def _small_width(text: str) -> float:
    return text_width(text, _SMALL)


@functools.cache
def text_width(text: str, size: float = _TEXT) -> float:
    """Width in inches, as it will be drawn."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="DejaVu Sans", size=size)
    width, _, _ = _renderer().get_text_width_height_descent(text, font, False)
    return float(width) / _RULER


_RULER = 600  # dots per inch of what measures text: with few, letters are rounded to whole dots


@functools.cache
def _renderer() -> "RendererAgg":
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(10, 10, _RULER)
