"""Arrange things on a figure: widths of words, wrapped titles, labels that do not overlap."""

from collections.abc import Callable, Sequence

Width = Callable[[str], float]  # of a text, in inches


def wrapped(text: str, most: float, width: Width) -> list[str]:
    """Break a text into lines that are at most so wide; a longer word is cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer) <= most:
            lines[-1] = longer
        else:
            lines.append(fitting(word, most, width))
    return lines


def fitting(text: str, most: float, width: Width) -> str:
    """Cut a text to a width; an ellipsis in the middle keeps a size at the end in sight."""
    text = " ".join(text.split())
    if width(text) <= most:
        return text
    for kept in range(len(text) - 1, 0, -1):
        tail = kept // 3
        short = f"{text[: kept - tail]}…{text[len(text) - tail :]}"
        if width(short) <= most:
            return short
    return "…"


def spread_out(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places apart to the least distance, as little as that needs, within low and high.

    Pushing all up and pushing all down both keep the distance, so their mean does too.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    up: list[float] = []
    for i in order:
        up.append(max(wanted[i], up[-1] + gap) if up else wanted[i])
    down: list[float] = []
    for i in reversed(order):
        down.append(min(wanted[i], down[-1] - gap) if down else wanted[i])
    places = [(a + b) / 2 for a, b in zip(up, reversed(down), strict=True)]
    for k in range(len(places)):
        places[k] = max(places[k], low + k * gap)
    for k in range(len(places)):
        at = len(places) - 1 - k
        places[at] = min(places[at], high - k * gap)
    found = [0.0] * len(wanted)
    for i, place in zip(order, places, strict=True):
        found[i] = place
    return found


def apart(places: Sequence[float], widths: Sequence[float], gap: float) -> list[bool]:
    """Choose the tick labels that fit side by side: the first, the last, and what has room."""
    kept = [False] * len(places)
    if not places:
        return kept
    kept[0] = True
    end = places[0] + widths[0] / 2 + gap
    last = len(places) - 1
    start_of_last = places[last] - widths[last] / 2 - gap
    for i in range(1, last):
        if places[i] - widths[i] / 2 >= end and places[i] + widths[i] / 2 <= start_of_last:
            kept[i] = True
            end = places[i] + widths[i] / 2 + gap
    kept[last] = last == 0 or places[last] - widths[last] / 2 >= end
    return kept
