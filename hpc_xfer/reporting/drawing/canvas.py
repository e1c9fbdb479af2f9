"""A sheet to draw on, in inches from its lower left corner; the one file that imports matplotlib.

Charts have no matplotlib.axes.Axes: in a figure with 10 panels these took two thirds of the time.
Its artists, text and ticks are used. The same calls give the same bytes.
"""

import functools
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from math import nan
from typing import TYPE_CHECKING, Any, Literal

from hpc_xfer.reporting.charts.chart import Look, Ticks
from hpc_xfer.reporting.charts.words import MINUS

if TYPE_CHECKING:
    from matplotlib.artist import Artist

Segment = tuple[tuple[float, float], tuple[float, float]]
TEXT, TITLE, SMALL = 7.0, 8.0, 6.5  # points
INK = "#222222"
_DPI = 200  # of the PNG, which is for screens
_MARKER = 3.4  # points
_FONT = "DejaVu Sans"
_STYLE = {
    "font.family": _FONT, "svg.fonttype": "path", "svg.hashsalt": "hpc_xfer",
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "text.parse_math": False,  # a $ in a name is a $
}  # fmt: skip
# Without date or version, which would change the bytes.
_METADATA: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)
# Six letters before the name of a font; matplotlib makes them by a hash, which a version of
# Python may salt.
_SUBSET = re.compile(rb"/[A-Z]{6}\+")


def style() -> AbstractContextManager[None]:
    """Set our style over matplotlib's defaults: a matplotlibrc of the user changes no byte."""
    import matplotlib.style

    return matplotlib.style.context(_STYLE, after_reset=True)


class Canvas:
    """One figure while it is drawn."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self._figure = Figure(figsize=(width, height))
        self._inches = self._figure.dpi_scale_trans

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = TEXT,
        color: str = INK,
        across: Literal["left", "center", "right"] = "left",
        up: Literal["baseline", "center", "top"] = "baseline",
        turned: bool = False,
    ) -> None:
        """Write one line of text; (x, y) is its start, middle or end."""
        from matplotlib.text import Text

        text = Text(
            x, y, printable(words), color=color, fontsize=size, ha=across,
            va="center_baseline" if up == "center" and not turned else up,
            rotation=90 if turned else 0, transform=self._inches, zorder=4,
        )  # fmt: skip
        if hasattr(text, "set_fontfeatures"):  # a ligature is a second font in the PDF
            text.set_fontfeatures(("-liga",))
        self._add(text)

    def line(
        self, x: Sequence[float], y: Sequence[float], look: Look, joined: bool, level: float = 2.5
    ) -> None:
        """Draw a line with markers, or markers alone."""
        from matplotlib.lines import Line2D

        dash: Any = look.dash if joined and look.dash else "none"
        self._add(
            Line2D(
                x, y, color=look.color, linestyle=dash, linewidth=look.width,
                marker=look.marker or "none", markersize=_MARKER, markeredgewidth=0.8,
                transform=self._inches, zorder=level,
            )
        )  # fmt: skip

    def hollow(self, x: Sequence[float], y: Sequence[float], look: Look) -> None:
        """Draw markers with a white center over those of a line."""
        from matplotlib.lines import Line2D

        self._add(
            Line2D(
                x, y, color=look.color, linestyle="none", marker=look.marker,
                markersize=_MARKER, markeredgewidth=0.8, markerfacecolor="white",
                transform=self._inches, zorder=3,
            )
        )  # fmt: skip

    def segments(
        self, segments: Sequence[Segment], color: str, width: float, level: float = 2.0
    ) -> None:
        """Draw straight lines of one look."""
        from matplotlib.lines import Line2D

        if not segments:
            return
        # One line with breaks is drawn in a third of the time of a collection of lines.
        x = [at for (start, _), (end, _) in segments for at in (start, end, nan)]
        y = [at for (_, start), (_, end) in segments for at in (start, end, nan)]
        self._add(
            Line2D(
                x, y, color=color, linewidth=width, solid_capstyle="butt",
                transform=self._inches, zorder=level,
            )
        )  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """Return the figure in every format."""
        found = {}
        for kind, metadata in _METADATA.items():
            buffer = io.BytesIO()
            self._figure.savefig(buffer, format=kind, dpi=_DPI, metadata=dict(metadata))
            found[kind] = buffer.getvalue()
        found["pdf"] = _SUBSET.sub(b"/FIGURE+", found["pdf"])
        return found

    def _add(self, artist: "Artist") -> None:
        self._figure.add_artist(artist)


def round_ticks(low: float, high: float, most: int) -> Ticks:
    """Choose about `most` round numbers from low to high; their words have equal decimals."""
    from matplotlib.ticker import MaxNLocator

    # One more, since the outermost two may lie outside. Steps of 2.5 would need a decimal more.
    found = MaxNLocator(most + 1, steps=[1, 2, 5, 10]).tick_values(low, high)
    rounded = [float(f"{place:.6g}") for place in found]  # 0.3, not 0.30000000000000004
    inside = [place for place in rounded if low <= place <= high]
    decimals = max(len(f"{place:.6g}".partition(".")[2]) for place in inside)
    return tuple((place, f"{place:.{decimals}f}".replace("-", MINUS)) for place in inside)


@functools.cache
def printable(text: str) -> str:
    """Return text in one line, with a sign for each letter that the font does not have."""
    known = _letters()
    plain = "".join(c for c in " ".join(text.split()) if unicodedata.category(c)[0] != "C")
    return "".join(c if ord(c) in known else "\N{REPLACEMENT CHARACTER}" for c in plain)


@functools.cache
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family=_FONT))).get_charmap())


@functools.cache
def text_width(text: str, size: float = TEXT) -> float:
    """Width in inches, as it will be drawn."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=_FONT, size=size)
    ruler: Any = _renderer()  # of no types
    width, _, _ = ruler.get_text_width_height_descent(printable(text), font, False)
    return float(width) / _RULER


def small_width(text: str) -> float:
    return text_width(text, SMALL)


def title_width(text: str) -> float:
    return text_width(text, TITLE)


_RULER = 600  # dots per inch of what measures text: with few, letters are rounded to whole dots


@functools.cache
def _renderer() -> object:
    from matplotlib.backends import backend_agg

    agg: Any = backend_agg
    return agg.RendererAgg(10, 10, _RULER)
