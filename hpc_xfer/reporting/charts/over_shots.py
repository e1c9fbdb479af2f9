"""Frames with shots along x: each data set has the shots that it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpc_xfer.reporting.charts.chart import AxisScale, Frame, Guide, Look, Mark, Trace
from hpc_xfer.reporting.charts.looks import GRAY
from hpc_xfer.results.answers.terms import dataset_words, shot_order

ZERO = Guide(0.0, Look(GRAY, "", "-", 0.8))


@dataclass(frozen=True)
class Reading:
    """One number of a line, in percent or points."""

    y: float
    low: float | None = None
    high: float | None = None
    hollow: bool = False


@dataclass(frozen=True)
class ShotLine:
    """One line before it has places on the axis."""

    name: str
    look: Look
    at: Mapping[str, Reading]  # by shots
    kind: str = "measured"
    joined: bool = True


def shots_frame(
    dataset: str,
    lines: Sequence[ShotLine],
    y: AxisScale,
    guides: tuple[Guide, ...] = (),
) -> Frame:
    """Make a frame with shots at equal steps: on a true scale `full` would hide 1 to 20.

    Lines stand side by side, so that no interval hides another.
    """
    shots = sorted({name for line in lines for name in line.at}, key=shot_order)
    steps = {name: i for i, name in enumerate(shots)}
    present = [line for line in lines if line.at]
    traces = tuple(
        Trace(
            line.name,
            line.look,
            tuple(
                Mark(steps[name] + _aside(i, len(present)), r.y, r.low, r.high, r.hollow, name)
                for name, r in sorted(line.at.items(), key=lambda item: shot_order(item[0]))
            ),
            joined=line.joined,
            kind=line.kind,
        )
        for i, line in enumerate(present)
    )
    ends = (-0.4, len(shots) - 0.6)
    x = AxisScale(
        "shots per class", tuple((float(i), name) for name, i in steps.items()), ends=ends
    )
    return Frame(dataset_words(dataset), traces, x, y, guides)


def _aside(i: int, n: int) -> float:
    """Horizontal shift of the i-th of n lines; all together span at most 0.4 of a step."""
    return 0.0 if n == 1 else (i - (n - 1) / 2) * min(0.07, 0.4 / (n - 1))
