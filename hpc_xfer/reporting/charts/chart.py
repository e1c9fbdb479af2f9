"""A figure as data: frames (panels) with traces (lines, points) and guides (reference lines).

Nothing is drawn here. The CSV beside a figure is made of the same numbers that are drawn.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hpc_xfer.results.tables.csv_files import Table, fixed

Dash = str | tuple[float, tuple[float, ...]]
Ticks = tuple[tuple[float, str], ...]
DASHED: Dash = (0, (4, 1.5))
COLUMNS = ("panel", "kind", "line", "at", "x", "y", "low", "high", "missing")


@dataclass(frozen=True)
class Look:
    """Color, line and marker of a trace."""

    color: str
    marker: str = "o"  # empty: no marker
    dash: Dash = "-"
    width: float = 1.2  # points


@dataclass(frozen=True)
class Mark:
    """One number with the ends of its interval, if it has one; both in the units of the axes."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    hollow: bool = False  # fewer cells than planned
    at: str = ""  # the place in words: `full`, `2.7M`, a source


@dataclass(frozen=True)
class Trace:
    """Marks of one look; places without a number have no mark and do not break the line."""

    name: str  # empty: in no legend
    look: Look
    marks: tuple[Mark, ...]
    joined: bool = True
    across: bool = False  # intervals lie along x
    kind: str = "measured"  # measured | fit | crossing | ...; a column of the CSV


@dataclass(frozen=True)
class Guide:
    """A straight line through a frame: 0, or the accuracy of an encoder without a series."""

    at: float
    look: Look
    name: str = ""  # empty: in no legend
    upright: bool = False


@dataclass(frozen=True)
class AxisScale:
    """One axis of a frame."""

    label: str
    ticks: Ticks = ()  # empty: chosen by the drawing
    log: bool = False
    ends: tuple[float, float] | None = None  # None: by the marks
    most: tuple[float, float] = (-math.inf, math.inf)  # intervals are cut here
    shared: bool = False  # of x: with the other frames of its row, as y always is


ACCURACY = AxisScale("test accuracy (%)", most=(0.0, 100.0))
POINTS = (-100.0, 100.0)  # ends of any difference of two accuracies


@dataclass(frozen=True)
class Frame:
    """One panel."""

    title: str
    traces: tuple[Trace, ...]
    x: AxisScale
    y: AxisScale
    guides: tuple[Guide, ...] = ()
    panel: str = ""  # in the CSV; empty: the title


@dataclass(frozen=True)
class Chart:
    """One figure: frames row by row; those of a row share their y axis."""

    name: str  # of its files
    question: str  # figures of one question stand together on the page
    title: str  # the question, with the mode and what is fixed
    text: str
    frames: tuple[Frame, ...]
    columns: int = 0  # frames in a row; 0: as many as can be read
    height: float = 0.0  # of a frame, in inches; 0: by the number of columns
    keys: tuple[Trace, ...] = ()  # of the legend, where it is not one entry per trace

    @property
    def caption(self) -> str:
        """Return the text, and explain hollow marks and missing or cut intervals, if any."""
        words = [self.text]
        known = [
            mark.low is not None
            for frame in self.frames
            for trace in frame.traces
            if trace.kind == "measured"
            for mark in trace.marks
        ]
        if any(known) and not all(known):
            words.append("A point without a bar has no interval.")
        if any(mark.hollow for mark in self.marks):
            words.append("A hollow point averages fewer cells than planned (see missing.csv).")
        if any(_is_cut(frames) for frames in rows_of(self)):
            words.append("An interval that ends at the frame goes on beyond it.")
        return " ".join(words)

    @property
    def marks(self) -> Iterator[Mark]:
        return (m for frame in self.frames for trace in frame.traces for m in trace.marks)

    @property
    def table(self) -> Table:
        """Make the CSV beside the figure."""
        return COLUMNS, [row for frame in self.frames for row in _rows(frame)]


def columns_of(chart: Chart) -> int:
    """Choose the number of frames in a row: at most four; two fill a column of a paper."""
    if chart.columns:
        return chart.columns
    n = len(chart.frames)
    return {5: 3, 6: 3, 9: 3}.get(n, min(n, 4))


def rows_of(chart: Chart) -> list[tuple[Frame, ...]]:
    """List the frames row by row."""
    n = columns_of(chart)
    return [chart.frames[i : i + n] for i in range(0, len(chart.frames), n)]


def y_ends(frames: Sequence[Frame]) -> tuple[float, float]:
    """Return the ends of the y axis that frames of a row share."""
    fixed_ends = [frame.y.ends for frame in frames if frame.y.ends]
    if fixed_ends:
        return min(low for low, _ in fixed_ends), max(high for _, high in fixed_ends)
    return _ends(frames, along_x=False)


def x_ends(frame: Frame, row: Sequence[Frame]) -> tuple[float, float]:
    """Return the ends of the x axis of a frame, which its row may share."""
    return frame.x.ends or _ends(row if frame.x.shared else (frame,), along_x=True)


def _ends(frames: Sequence[Frame], along_x: bool) -> tuple[float, float]:
    """Choose ends that show all marks, and intervals up to 1.5 times the range of the marks.

    With two repetitions an interval can be twenty times as wide as all differences, and would
    press these into a line.
    """
    scales = [frame.x if along_x else frame.y for frame in frames]
    log = any(scale.log for scale in scales)
    traces = [trace for frame in frames for trace in frame.traces]
    values = [mark.x if along_x else mark.y for trace in traces for mark in trace.marks]
    values += [g.at for frame in frames for g in frame.guides if g.upright == along_x]
    if not values:
        return (1.0, 10.0) if log else (0.0, 1.0)
    bars = [
        end
        for trace in traces
        if trace.across == along_x
        for mark in trace.marks
        for end in (mark.low, mark.high)
        if end is not None
    ]
    if log:
        low, high = min(values), max(values)
        reach = max((high / low) ** 0.06, 1.15)
        return low / reach, high * reach
    low, high = min(values), max(values)
    room = max(1.5 * (high - low), 10.0)
    low, high = max(min([low, *bars]), low - room), min(max([high, *bars]), high + room)
    margin = 0.05 * max(high - low, 1.0)
    floor = max(scale.most[0] for scale in scales)
    ceiling = min(scale.most[1] for scale in scales)
    return max(low - margin, floor), min(high + margin, ceiling)


def _is_cut(frames: Sequence[Frame]) -> bool:
    up = y_ends(frames)
    for frame in frames:
        along = x_ends(frame, frames)
        for trace in frame.traces:
            low, high = along if trace.across else up
            for mark in trace.marks:
                if mark.low is not None and mark.low < low - 1e-9:
                    return True
                if mark.high is not None and mark.high > high + 1e-9:
                    return True
    return False


def _rows(frame: Frame) -> Iterator[dict[str, object]]:
    panel = frame.panel or frame.title
    for trace in frame.traces:
        for mark in trace.marks:
            yield {
                "panel": panel, "kind": trace.kind, "line": trace.name, "at": mark.at,
                "x": f"{mark.x:.10g}", "y": fixed(mark.y, 4), "low": fixed(mark.low, 4),
                "high": fixed(mark.high, 4), "missing": "yes" if mark.hollow else "",
            }  # fmt: skip
    for guide in frame.guides:
        if guide.name:
            place = {"x" if guide.upright else "y": fixed(guide.at, 4)}
            yield {"panel": panel, "kind": "reference", "line": guide.name, **place}
