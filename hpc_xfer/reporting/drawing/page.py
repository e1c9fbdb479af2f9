"""Lay a chart out on a sheet: its frames, its legend or the names at the ends of its lines.

Sizes are those of a paper: one column is 3.25 inches wide, two are 6.75.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hpc_xfer.reporting.charts.chart import Chart, Frame, columns_of, rows_of, x_ends, y_ends
from hpc_xfer.reporting.drawing import arrangement
from hpc_xfer.reporting.drawing.canvas import (
    TITLE,
    Canvas,
    small_width,
    title_width,
)
from hpc_xfer.reporting.drawing.drawn_frame import MOST_NAME, Box, DrawnFrame, named
from hpc_xfer.reporting.drawing.legend import Legend, entries_of

ONE_COLUMN, TWO_COLUMNS = 3.25, 6.75  # inches
_EDGE, _BETWEEN = 0.08, 0.12
_ABOVE, _BELOW, _LABEL = 0.2, 0.2, 0.13  # a frame's title, its ticks, the name of its x axis
_TITLE_LINE = 0.15
_HEIGHTS = {1: 1.9, 2: 1.6, 3: 1.4}  # of a frame, by the number of columns
_LEAST_HEIGHT = 1.15
_MOST_DIRECT = 6  # lines with a name at their end; more go into a legend
_LEAST_WIDTH = 1.4  # inches of a frame beside the names


@dataclass(frozen=True)
class _Across:
    """Horizontal measures, in inches."""

    left: float
    each: float  # of a frame
    between: float
    right: float

    def x(self, column: int) -> float:
        return self.left + column * (self.each + self.between + self.right)


def drawn(chart: Chart) -> dict[str, bytes]:
    """Draw a chart in every format."""
    page = _Page(chart)
    page.draw()
    return page.canvas.files()


class _Page:
    """One chart on its sheet."""

    def __init__(self, chart: Chart) -> None:
        self.rows = rows_of(chart)
        self.columns = columns_of(chart)
        self.width = ONE_COLUMN if self.columns == 1 else TWO_COLUMNS
        self.title = arrangement.wrapped(chart.title, self.width - 0.1, title_width)
        self.frame_height = chart.height or _HEIGHTS.get(self.columns, _LEAST_HEIGHT)
        self.widths, self.direct = self._across(chart)
        entries = [] if self.direct else entries_of(chart)
        self.legend = Legend(entries) if entries else None
        empty = len(self.rows) * self.columns - len(chart.frames)
        self.beside = self._fits_beside(empty)
        foot = 0.04
        if self.legend and not self.beside:
            foot += self.legend.height(self.width - 0.1) + 0.05
        top = 0.04 + _TITLE_LINE * len(self.title)
        self.height = top + sum(map(self._row_height, range(len(self.rows)))) + foot
        self.canvas = Canvas(self.width, self.height)

    def draw(self) -> None:
        for i, line in enumerate(self.title):
            self.canvas.text(0.05, self.height - 0.05 - i * _TITLE_LINE, line, TITLE, up="top")
        y = self.height - 0.04 - _TITLE_LINE * len(self.title)
        for r, row in enumerate(self.rows):
            bottom = y - _ABOVE - self.frame_height
            for c, frame in enumerate(row):
                self._frame(frame, r, c, bottom)
            y -= self._row_height(r)
        if self.legend and self.beside:
            left = self.widths.x(len(self.rows[-1]))
            top = bottom + self.frame_height + _ABOVE - 0.06
            self.legend.draw(self.canvas, left, top, self.width - left)
        elif self.legend:
            top = 0.04 + self.legend.height(self.width - 0.1)
            self.legend.draw(self.canvas, 0.06, top, self.width - 0.1)

    def _frame(self, frame: Frame, r: int, c: int, bottom: float) -> None:
        row = self.rows[r]
        box = Box(self.widths.x(c), bottom, self.widths.each, self.frame_height)
        found = DrawnFrame(self.canvas, box, frame, x_ends(frame, row), y_ends(row))
        found.draw(
            names=c == 0 or _own_names(row),
            y_label=c == 0,
            x_label=self._has_x_label(r, c),
            indent=_room_left(frame) - 0.1 if _own_names(row) else 0.0,
        )
        if self.direct:
            found.draw_names_at_ends()

    def _across(self, chart: Chart) -> tuple[_Across, bool]:
        """Share the width out; True if names fit at the ends of lines."""
        left = max(_room_left(row[0]) for row in self.rows)
        own = [_room_left(f) for row in self.rows if _own_names(row) for f in row]
        between = max(own, default=_BETWEEN)
        names = _names_at_ends(chart, self.columns)
        for direct in (True, False) if names else (False,):
            right = _EDGE + (max(map(small_width, names)) + 0.08 if direct else 0.0)
            free = self.width - left - right - (between + right) * (self.columns - 1)
            each = free / self.columns
            if not direct or each >= _LEAST_WIDTH:
                break
        return _Across(left, each, between, right), direct

    def _fits_beside(self, empty: int) -> bool:
        """True if the legend fits where the last row has no frames."""
        if self.legend is None or not empty or len(self.rows) == 1:
            return False
        room = self.width - self.widths.x(len(self.rows[-1]))
        return self.legend.height(room) <= self.frame_height + _ABOVE

    def _row_height(self, r: int) -> float:
        labelled = any(self._has_x_label(r, c) for c in range(len(self.rows[r])))
        return _ABOVE + self.frame_height + _BELOW + (_LABEL if labelled else 0.0)

    def _has_x_label(self, r: int, c: int) -> bool:
        """True unless the frame below has the same label."""
        below = self.rows[r + 1][c : c + 1] if r + 1 < len(self.rows) else ()
        return all(frame.x.label != self.rows[r][c].x.label for frame in below)


def _own_names(row: Sequence[Frame]) -> bool:
    """True where the frames of a row have names of their own along y."""
    return len({frame.y.ticks for frame in row}) > 1


def _room_left(frame: Frame) -> float:
    """Room for the ticks and the label of y."""
    if not frame.y.ticks:
        return 0.44
    return min(MOST_NAME, max(small_width(name) for _, name in frame.y.ticks)) + 0.12


def _names_at_ends(chart: Chart, columns: int) -> list[str]:
    """Names of lines; none where a legend is easier to read."""
    if chart.keys or columns > 2 or any(frame.y.ticks for frame in chart.frames):
        return []
    longest = max((len(t.marks) for f in chart.frames for t in f.traces if t.name), default=0)
    if longest < 2 or max(len(named(frame)) for frame in chart.frames) > _MOST_DIRECT:
        return []
    return [name for frame in chart.frames for name, _, _ in named(frame)]
