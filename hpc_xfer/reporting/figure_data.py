"""Data of the figures: which curves, through which points, in which color. No drawing here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_xfer.results.answers.series import all_series
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.study.labels import without_snapshot

Style = dict[str, Any]  # keyword arguments of a line
Size = Callable[[EncoderInfo], int | None]  # how much an encoder was trained on

# Okabe and Ito, "Color Universal Design" (2008), without black and yellow: told apart by all eyes.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "D", "^", "v", "P")
_DASHES = ("-", (0, (4, 1.5)), ":", "-.")
_BLUES = ("#9ecae1", "#6baed6", "#3f8fc5", "#2070b4", "#08519c", "#08306b")  # few shots to many
GRAY = "#6b6b6b"  # training from scratch, and the line at 0


@dataclass(frozen=True)
class Curve:
    """One line in one panel; None at a place without an average, which breaks the line."""

    label: str
    x: tuple[float, ...]  # places on the horizontal axis
    averages: tuple[Average | None, ...]  # one per place
    style: Style


def shot_order(shots: str) -> tuple[bool, int]:
    """Sort key: 1, 5, 10, ..., full."""
    return (True, 0) if shots == "full" else (False, int(shots))


def shot_axis(averages: Sequence[Average]) -> list[str]:
    """The shots in order, drawn at equal steps: on a true scale `full` would hide 1 to 20."""
    return sorted({average.shots for average in averages}, key=shot_order)


def shots_text(shots: str) -> str:
    return {"full": "full data", "1": "1 shot", "0": "zero-shot"}.get(shots, f"{shots} shots")


def curve_styles(averages: Sequence[Average]) -> dict[EncoderInfo, Style]:
    """The n-th label of the study looks the same in all figures; scratch is gray and dashed."""
    encoders = list(dict.fromkeys(average.encoder for average in averages))
    trained = [encoder for encoder in encoders if encoder.method != "scratch"]
    untrained = [encoder for encoder in encoders if encoder.method == "scratch"]
    styles: dict[EncoderInfo, Style] = {}
    for i, encoder in enumerate(trained):
        turn = i // len(_COLORS)
        styles[encoder] = {
            "color": _COLORS[i % len(_COLORS)],
            "marker": _MARKERS[(i + turn) % len(_MARKERS)],
            "linestyle": _DASHES[turn % len(_DASHES)],
        }
    for i, encoder in enumerate(untrained):
        styles[encoder] = {"color": GRAY, "marker": "xp*h"[i % 4], "linestyle": (0, (4, 1.5))}
    return styles


def curves_over_shots(
    panel: Sequence[Average], figure: Sequence[Average], styles: dict[EncoderInfo, Style]
) -> list[Curve]:
    """One curve per label of the figure, side by side so that no bar hides another."""
    shots = shot_axis(figure)
    encoders = [encoder for encoder in styles if any(a.encoder == encoder for a in figure)]
    curves = []
    for i, encoder in enumerate(encoders):
        at = {average.shots: average for average in panel if average.encoder == encoder}
        x = tuple(step + _aside(i, len(encoders)) for step in range(len(shots)))
        curves.append(Curve(encoder.label, x, tuple(map(at.get, shots)), styles[encoder]))
    return curves


def curves_over_size(
    panel: Sequence[Average], figure: Sequence[Average], size: Size
) -> list[Curve]:
    """One curve per shots, from light to dark."""
    shots, places = shot_axis(figure), sizes(figure, size)
    curves = []
    for i, name in enumerate(shots):
        at = {size(average.encoder): average for average in panel if average.shots == name}
        depth = round(i * (len(_BLUES) - 1) / max(1, len(shots) - 1))
        style = {"color": _BLUES[depth], "marker": _MARKERS[i % len(_MARKERS)], "linestyle": "-"}
        points = tuple(map(at.get, places))
        curves.append(Curve(shots_text(name), tuple(map(float, places)), points, style))
    return curves


def samples(encoder: EncoderInfo) -> int | None:
    return encoder.samples


def samples_seen(encoder: EncoderInfo) -> int | None:
    return encoder.samples_seen


def sizes(averages: Sequence[Average], size: Size) -> list[int]:
    """All sizes, ascending: the places on the horizontal axis."""
    found = (size(average.encoder) for average in averages)
    return sorted({number for number in found if number is not None})


def size_series(averages: Sequence[Average]) -> dict[str, list[Average]]:
    """Groups of labels that differ in the number of samples alone, of two sizes or more."""
    ended = at_end(averages)
    found = {
        series.label: [average for average in ended if average.encoder in series.encoders]
        for series in all_series(average.encoder for average in ended)
    }
    return {name: group for name, group in found.items() if len(sizes(group, samples)) > 1}


def snapshot_series(averages: Sequence[Average]) -> dict[str, list[Average]]:
    """Label of each pre-training with snapshots -> averages of its snapshots and its end."""
    found: dict[str, list[Average]] = {}
    for average in averages:
        found.setdefault(without_snapshot(average.label), []).append(average)
    return {
        name: group
        for name, group in found.items()
        if any(average.encoder.snapshot is not None for average in group)
    }


def at_end(averages: Sequence[Average]) -> list[Average]:
    """Averages of finished pre-trainings, without those of snapshots."""
    return [average for average in averages if average.encoder.snapshot is None]


def _aside(i: int, n: int) -> float:
    """Horizontal shift of the i-th of n labels, so that their error bars do not overlap.

    All shifts together span at most 0.4 of a step.
    """
    return 0.0 if n == 1 else (i - (n - 1) / 2) * min(0.06, 0.4 / (n - 1))
