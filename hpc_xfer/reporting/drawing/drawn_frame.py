"""Draw one frame: its axes, lines, marks and intervals, and the names at the ends of lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpc_xfer.reporting.charts.chart import AxisScale, Frame, Look, Mark, Trace
from hpc_xfer.reporting.charts.looks import darker
from hpc_xfer.reporting.drawing.arrangement import apart, fitting, spread_out
from hpc_xfer.reporting.drawing.canvas import (
    SMALL,
    Canvas,
    Segment,
    round_ticks,
    small_width,
    text_width,
)

MOST_NAME = 1.5  # inches of a name along y
_AXIS, _GRID, _WORDS = "#444444", "#e6e6e6", "#444444"
_TICK = 0.03
_TICK_STEP_X, _TICK_STEP_Y = 0.3, 0.22  # least inches from one tick to the next
_NAME_GAP = 0.115  # inches between names at the ends of lines


@dataclass(frozen=True)
class Box:
    """Place of a frame, in inches from the lower left corner of the sheet."""

    left: float
    bottom: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> float:
        return self.bottom + self.height


class DrawnFrame:
    """One frame in its place, with the ends of its axes."""

    def __init__(
        self,
        canvas: Canvas,
        box: Box,
        frame: Frame,
        along: tuple[float, float],
        up: tuple[float, float],
    ) -> None:
        self.canvas = canvas
        self.box = box
        self.frame = frame
        self.along = along
        self.up = up

    def draw(self, names: bool, y_label: bool, x_label: bool, indent: float = 0.0) -> None:
        """Draw all but the names at the ends of lines.

        Args:
            names: of the ticks along y.
            y_label: name of the y axis.
            x_label: name of the x axis.
            indent: inches by which the title begins left of the frame, over names along y.
        """
        box, frame = self.box, self.frame
        title = fitting(frame.title, box.width + indent + 0.1, text_width)
        self.canvas.text(box.left - indent, box.top + 0.05, title)
        self._axes(names)
        for guide in frame.guides:
            if guide.upright:
                place = self._x(guide.at)
                self.canvas.line((place, place), (box.bottom, box.top), guide.look, True, 1.5)
            else:
                height = self._y(guide.at)
                self.canvas.line((box.left, box.right), (height, height), guide.look, True, 1.5)
        for trace in frame.traces:
            self._trace(trace)
        if x_label:
            label = fitting(frame.x.label, box.width + 0.1, text_width)
            self.canvas.text(box.left + box.width / 2, box.bottom - 0.29, label, across="center")
        if y_label and frame.y.label:
            label = fitting(frame.y.label, box.height + 0.3, text_width)
            self.canvas.text(
                box.left - 0.33, box.bottom + box.height / 2, label, across="center", up="center",
                turned=True,
            )  # fmt: skip

    def draw_names_at_ends(self) -> None:
        """Write names beside the lines, moved apart; a thin line leads to one that was moved."""
        found = named(self.frame)
        wanted = [self._y(y) for _, _, y in found]
        places = spread_out(wanted, _NAME_GAP, self.box.bottom, self.box.top)
        x = self.box.right
        for (name, color, _), at, place in zip(found, wanted, places, strict=True):
            if abs(place - at) > 0.03:
                lead = Look(color, "", "-", 0.5)
                self.canvas.line((x, x + 0.06), (at, place), lead, joined=True)
            words = " ".join(name.split())
            self.canvas.text(x + 0.08, place, words, SMALL, darker(color), up="center")

    def _axes(self, names: bool) -> None:
        box = self.box
        places, words = self._ticks(self.frame.y, self.up, box.height, _TICK_STEP_Y)
        heights = [self._y(at) for at in places]
        self.canvas.segments([((box.left, y), (box.right, y)) for y in heights], _GRID, 0.5, 1.0)
        steps, numbers = self._ticks(self.frame.x, self.along, box.width, _TICK_STEP_X)
        across = [self._x(at) for at in steps]
        edges: list[Segment] = [((box.left, box.top), (box.left, box.bottom))]
        edges.append(((box.left, box.bottom), (box.right, box.bottom)))
        edges += [((box.left - _TICK, y), (box.left, y)) for y in heights]
        edges += [((x, box.bottom - _TICK), (x, box.bottom)) for x in across]
        self.canvas.segments(edges, _AXIS, 0.6, 1.2)
        if names:
            for y, word in zip(heights, words, strict=True):
                name = fitting(word, MOST_NAME, small_width)
                self.canvas.text(
                    box.left - 0.05, y, name, SMALL, _WORDS, across="right", up="center"
                )
        kept = apart(across, [small_width(number) for number in numbers], 0.04)
        for x, number, fits in zip(across, numbers, kept, strict=True):
            if fits:  # the tick stays where its name would overlap another
                self.canvas.text(x, box.bottom - 0.135, number, SMALL, _WORDS, across="center")

    def _ticks(
        self, scale: AxisScale, ends: tuple[float, float], length: float, least: float
    ) -> tuple[list[float], list[str]]:
        """Return the places and names of the ticks on an axis.

        Args:
            ends: of the axis.
            length: of the axis, in inches.
            least: inches from one tick to the next, where they are not given.
        """
        ticks = scale.ticks or round_ticks(*ends, max(2, int(length / least)))
        inside = [(at, name) for at, name in ticks if ends[0] <= at <= ends[1]]
        return [at for at, _ in inside], [name for _, name in inside]

    def _trace(self, trace: Trace) -> None:
        """Draw intervals, then the line and its marks, then the hollow marks."""
        look, marks = trace.look, trace.marks
        width = 1.8 if trace.kind == "crossing" else 0.8
        bars = [self._bar(mark, trace.across) for mark in marks if mark.low is not None]
        self.canvas.segments(bars, look.color, width)
        x, y = [self._x(mark.x) for mark in marks], [self._y(mark.y) for mark in marks]
        self.canvas.line(x, y, look, trace.joined)
        if trace.kind == "crossing":
            ends = [((a, b - 0.04), (a, b + 0.04)) for a, b in zip(x, y, strict=True)]
            self.canvas.segments(ends, look.color, 1.2, 2.6)
        hollow = [i for i, mark in enumerate(marks) if mark.hollow]
        if hollow and look.marker:
            self.canvas.hollow([x[i] for i in hollow], [y[i] for i in hollow], look)

    def _bar(self, mark: Mark, across: bool) -> Segment:
        """Return an interval, cut at the frame."""
        assert mark.low is not None and mark.high is not None
        x, y = self._x(mark.x), self._y(mark.y)
        if across:
            low, high = (self._x(_within(end, self.along)) for end in (mark.low, mark.high))
            return (low, y), (high, y)
        low, high = (self._y(_within(end, self.up)) for end in (mark.low, mark.high))
        return (x, low), (x, high)

    def _x(self, value: float) -> float:
        return self.box.left + self.box.width * _share(value, self.along, self.frame.x.log)

    def _y(self, value: float) -> float:
        return self.box.bottom + self.box.height * _share(value, self.up, False)


def named(frame: Frame) -> list[tuple[str, str, float]]:
    """List name, color and last y of each line and each guide that has a name."""
    lines = [(t.name, t.look.color, t.marks[-1].y) for t in frame.traces if t.name and t.marks]
    return lines + [(g.name, g.look.color, g.at) for g in frame.guides if g.name]


def _within(value: float, ends: Sequence[float]) -> float:
    return min(max(value, ends[0]), ends[1])


def _share(value: float, ends: tuple[float, float], log: bool) -> float:
    """Return the place along an axis, from 0 to 1."""
    low, high = ends
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)
