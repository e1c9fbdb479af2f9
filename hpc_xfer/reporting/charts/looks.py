"""Colors and markers: the source is the color, the method the marker, the size the lightness.

A source has the same color in all figures of a study. Training from scratch is gray and dashed.
In a study of one source the method is the color.
"""

from collections.abc import Iterable, Sequence

from hpc_xfer.reporting.charts.chart import DASHED, Dash, Look, Trace
from hpc_xfer.results.encoder_info import EncoderInfo

# The first six: Okabe and Ito, "Color Universal Design" (2008), without black and yellow. The
# others: Tol, "Colour Schemes" (SRON, 2021), muted. Told apart by all eyes, side by side.
COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#332288",
    "#999933", "#44AA99",
)  # fmt: skip
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p")
DASHES: tuple[Dash, ...] = ("-", (0, (5, 1)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
BLUES = ("#9ecae1", "#6baed6", "#3f8fc5", "#2070b4", "#08519c", "#08306b")  # few shots to many
GRAY = "#6b6b6b"
_DARK = "#222222"
LIGHTEST = 0.55  # of the smallest size: this much white is mixed in


class Looks:
    """The looks of all encoders of a study."""

    def __init__(self, encoders: Iterable[EncoderInfo]) -> None:
        trained = [e for e in dict.fromkeys(encoders) if e.method != "scratch"]
        self.one_source = len({_source(e) for e in trained}) == 1
        sources = dict.fromkeys(self._hue(e) for e in trained)
        methods = dict.fromkeys(e.method for e in trained)
        self.colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(sources)}
        self.markers = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(methods)}
        self.dashes = {name: DASHES[i % len(DASHES)] for i, name in enumerate(methods)}
        self.sizes = {
            name: sorted({e.samples for e in trained if e.samples and self._hue(e) == name})
            for name in sources
        }

    def of(self, encoder: EncoderInfo, shades: bool = False) -> Look:
        """Return the look of an encoder; with `shades` smaller sizes of a source are lighter."""
        if encoder.method == "scratch":
            return Look(GRAY, "x", DASHED)
        color = self.colors.get(self._hue(encoder), COLORS[0])
        if shades:
            color = _lighter(color, self._smallness(encoder))
        marker = self.markers.get(encoder.method, MARKERS[0])
        return Look(color, marker, self.dashes.get(encoder.method, "-"))

    def apart(self, encoders: Sequence[EncoderInfo]) -> dict[EncoderInfo, Look]:
        """Return looks that all differ: lightness where sizes do, other markers where need be."""
        sources = [(self._hue(e), e.method) for e in encoders]
        shades = len(set(sources)) < len(sources)
        found: dict[EncoderInfo, Look] = {}
        for encoder in encoders:
            look = self.of(encoder, shades)
            taken = {(other.color, other.marker) for other in found.values()}
            free = (m for m in MARKERS if (look.color, m) not in taken)
            if (look.color, look.marker) in taken and (marker := next(free, "")):
                look = Look(look.color, marker, look.dash)
            found[encoder] = look
        return found

    def of_pair(self, encoder: EncoderInfo) -> str:
        """Return the color of what two methods of one source share."""
        return _DARK if self.one_source else self.of(encoder).color

    def keys(self, encoders: Sequence[EncoderInfo]) -> tuple[Trace, ...]:
        """Entries of a legend that explains colors and markers apart: few for many encoders."""
        trained = [e for e in encoders if e.method != "scratch"]
        sources = dict.fromkeys(self._hue(e) for e in trained)
        methods = dict.fromkeys(e.method for e in trained)
        if self.one_source:
            first = {e.method: e for e in reversed(trained)}
            return tuple(Trace(n, self.of(first[n]), (), joined=False) for n in methods)
        keys = [Trace(name, Look(self.colors[name], ""), ()) for name in sources]
        if len(methods) > 1:
            keys += [Trace(n, Look(_DARK, self.markers[n], ""), ()) for n in methods]
        if any(e.method == "scratch" for e in encoders):
            keys.append(Trace("scratch", Look(GRAY, "x", ""), ()))
        return tuple(keys)

    def _hue(self, encoder: EncoderInfo) -> str:
        """Name what the color stands for."""
        return encoder.method if self.one_source else _source(encoder)

    def _smallness(self, encoder: EncoderInfo) -> float:
        sizes = self.sizes.get(self._hue(encoder), [])
        if encoder.samples not in sizes or len(sizes) < 2:
            return 0.0
        return LIGHTEST * (1 - sizes.index(encoder.samples) / (len(sizes) - 1))


def shot_look(i: int, n: int) -> Look:
    """Look of the i-th of n shot counts, from light to dark."""
    depth = round(i * (len(BLUES) - 1) / max(1, n - 1))
    return Look(BLUES[depth], MARKERS[i % len(MARKERS)])


def darker(color: str) -> str:
    """Mix in black, for words of this color."""
    return _mixed(color, 0, 0.25)


def plain_look(i: int) -> Look:
    """Look of the i-th line of a figure whose lines are no encoders."""
    return Look(
        COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)], DASHES[i // len(COLORS) % len(DASHES)]
    )


def _source(encoder: EncoderInfo) -> str:
    """Released weights without a source stand for themselves."""
    return encoder.source or encoder.label


def _lighter(color: str, part: float) -> str:
    return _mixed(color, 255, part)


def _mixed(color: str, other: int, part: float) -> str:
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(p + (other - p) * part):02x}" for p in parts)
