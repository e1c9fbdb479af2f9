"""Legends: a line and a name per entry, in columns as wide as their names."""

from collections.abc import Sequence
from dataclasses import replace

from hpc_xfer.reporting.charts.chart import Chart, Trace
from hpc_xfer.reporting.drawing.arrangement import fitting
from hpc_xfer.reporting.drawing.canvas import SMALL, Canvas, small_width

_LINE = 0.135  # inches from one entry to the next
_SAMPLE = 0.24  # inches of line before a name
_GAP = 0.06
_AFTER = 0.16


class Legend:
    """Entries that are put into as many columns as fit."""

    def __init__(self, entries: Sequence[Trace]) -> None:
        self.entries = entries

    def height(self, width: float) -> float:
        return _LINE * max(len(column) for column in self._columns(width))

    def draw(self, canvas: Canvas, left: float, top: float, width: float) -> None:
        """Draw column by column, with its top left corner at (left, top)."""
        x = left
        for column in self._columns(width):
            for i, entry in enumerate(column):
                y = top - _LINE * (i + 0.5)
                canvas.line((x, x + _SAMPLE), (y, y), replace(entry.look, marker=""), entry.joined)
                canvas.line((x + _SAMPLE / 2,), (y,), entry.look, joined=False)
                name = fitting(entry.name, width - _SAMPLE - _GAP, small_width)
                canvas.text(x + _SAMPLE + _GAP, y, name, SMALL, up="center")
            x += _width(column)

    def _columns(self, width: float) -> list[Sequence[Trace]]:
        """Put the entries into the fewest lines whose columns fit side by side."""
        for lines in range(1, len(self.entries)):
            columns = [self.entries[i : i + lines] for i in range(0, len(self.entries), lines)]
            if sum(map(_width, columns)) - _AFTER <= width:
                return columns
        return [self.entries]


def entries_of(chart: Chart) -> list[Trace]:
    """Return what a legend explains: every name once; none where names stand along y."""
    if chart.keys:
        return list(chart.keys)
    if all(frame.y.ticks for frame in chart.frames):
        return []
    found: dict[str, Trace] = {}
    for frame in chart.frames:
        for trace in frame.traces:
            if trace.name:
                found.setdefault(trace.name, trace)
    for frame in chart.frames:
        for guide in frame.guides:
            if guide.name:
                found.setdefault(guide.name, Trace(guide.name, guide.look, ()))
    return list(found.values())


def _width(column: Sequence[Trace]) -> float:
    return _SAMPLE + _GAP + _AFTER + max(small_width(entry.name) for entry in column)
