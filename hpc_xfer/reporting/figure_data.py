"""What the figures show: which lines, through which points, in which colour. No drawing here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_xfer.results.averages import Average, EncoderInfo
from hpc_xfer.study.labels import short_count, without_snapshot

Style = dict[str, Any]  # keyword arguments of a line
Size = Callable[[EncoderInfo], int | None]  # how much an encoder was trained on

# Okabe and Ito, "Color Universal Design" (2008), without black and yellow: told apart by all eyes.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "D", "^", "v", "P")
_DASHES = ("-", (0, (4, 1.5)), ":", "-.")
_BLUES = ("#9ecae1", "#6baed6", "#3f8fc5", "#2070b4", "#08519c", "#08306b")  # few shots to many
GREY = "#6b6b6b"  # training from scratch, and the line at 0


@dataclass(frozen=True)
class Curve:
    """The averages of one label in one panel; None where there is none, which breaks the line."""

    label: str
    x: tuple[float, ...]  # places on the horizontal axis
    averages: tuple[Average | None, ...]  # one per place
    style: Style


def shot_order(shots: str) -> tuple[bool, int]:
    """Sorts 1, 5, 10, ..., full."""
    return (True, 0) if shots == "full" else (False, int(shots))


def shot_axis(averages: Sequence[Average]) -> list[str]:
    """The shots at equal steps: what matters between 1 and 20 would vanish beside `full`."""
    return sorted({average.shots for average in averages}, key=shot_order)


def styles(averages: Sequence[Average]) -> dict[EncoderInfo, Style]:
    """The n-th label of the study looks the same in all figures; scratch is grey and dashed."""
    origins = list(dict.fromkeys(average.origin for average in averages))
    trained = [origin for origin in origins if origin.method != "scratch"]
    untrained = [origin for origin in origins if origin.method == "scratch"]
    found: dict[EncoderInfo, Style] = {}
    for i, origin in enumerate(trained):
        turn = i // len(_COLOURS)
        found[origin] = {
            "color": _COLOURS[i % len(_COLOURS)],
            "marker": _MARKERS[(i + turn) % len(_MARKERS)],
            "linestyle": _DASHES[turn % len(_DASHES)],
        }
    for i, origin in enumerate(untrained):
        found[origin] = {"color": GREY, "marker": "xp*h"[i % 4], "linestyle": (0, (4, 1.5))}
    return found


def over_shots(
    panel: Sequence[Average], figure: Sequence[Average], looks: dict[EncoderInfo, Style]
) -> list[Curve]:
    """One line per label of the figure; labels stand side by side so that no bar hides another."""
    shots = shot_axis(figure)
    origins = [origin for origin in looks if any(a.origin == origin for a in figure)]
    lines = []
    for i, origin in enumerate(origins):
        at = {average.shots: average for average in panel if average.origin == origin}
        x = tuple(step + _aside(i, len(origins)) for step in range(len(shots)))
        lines.append(Curve(origin.label, x, tuple(map(at.get, shots)), looks[origin]))
    return lines


def samples(origin: EncoderInfo) -> int | None:
    return origin.samples


def samples_seen(origin: EncoderInfo) -> int | None:
    return origin.samples_seen


def over_size(panel: Sequence[Average], figure: Sequence[Average], size: Size) -> list[Curve]:
    """One line per shots, from light to dark."""
    shots, places = shot_axis(figure), sizes(figure, size)
    lines = []
    for i, name in enumerate(shots):
        at = {size(average.origin): average for average in panel if average.shots == name}
        depth = round(i * (len(_BLUES) - 1) / max(1, len(shots) - 1))
        style = {"color": _BLUES[depth], "marker": _MARKERS[i % len(_MARKERS)], "linestyle": "-"}
        points = tuple(map(at.get, places))
        lines.append(Curve(shots_text(name), tuple(map(float, places)), points, style))
    return lines


def shots_text(shots: str) -> str:
    return {"full": "full data", "1": "1 shot"}.get(shots, f"{shots} shots")


def series(averages: Sequence[Average]) -> dict[str, list[Average]]:
    """Labels that differ in the number of samples alone, where there are two sizes or more."""
    found: dict[str, list[Average]] = {}
    for average in final(averages):
        if average.origin.samples is not None:
            found.setdefault(_without_size(average.origin), []).append(average)
    return {name: part for name, part in found.items() if len(sizes(part, samples)) > 1}


def courses(averages: Sequence[Average]) -> dict[str, list[Average]]:
    """Pre-trainings with snapshots, by label: those and the end."""
    found: dict[str, list[Average]] = {}
    for average in averages:
        found.setdefault(without_snapshot(average.label), []).append(average)
    return {
        name: part
        for name, part in found.items()
        if any(average.origin.snapshot is not None for average in part)
    }


def final(averages: Sequence[Average]) -> list[Average]:
    """Those of whole pre-trainings."""
    return [average for average in averages if average.origin.snapshot is None]


def sizes(averages: Sequence[Average], size: Size) -> list[int]:
    """What there is along the axis, ascending."""
    found = (size(average.origin) for average in averages)
    return sorted({number for number in found if number is not None})


def _without_size(origin: EncoderInfo) -> str:
    assert origin.samples is not None
    return origin.label.replace(f" {short_count(origin.samples)}", "", 1)


def _aside(i: int, n: int) -> float:
    """Steps to the side of the i-th of n labels; all n take at most four tenths of a step."""
    return 0.0 if n == 1 else (i - (n - 1) / 2) * min(0.06, 0.4 / (n - 1))
