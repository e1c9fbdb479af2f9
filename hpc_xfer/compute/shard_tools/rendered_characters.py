"""Rendered characters as pre-training data: light strokes on dark ground, like scanned handwriting.

The four sources use the fonts that matplotlib installs, so that a study runs without a download.
sans, serif and mono show the same characters in three styles. symbols shows arrows, boxes and dots,
which help little with reading. Each sample depends on (source, classes, size, seed, number) alone,
so any number of processes can make samples in any order.
"""

import importlib.util
import io
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from hpc_xfer.compute.shards.shard import Sample
from hpc_xfer.errors import DataError, StudyError

LETTERS_FIRST = (  # (first, last) code point; other characters follow in order
    (0x30, 0x39),  # digits first: the demo reads them
    (0x41, 0x5A),
    (0x61, 0x7A),
    (0x21, 0x7E),  # rest of ASCII
    (0xA1, 0xFF),  # Latin-1
    (0x391, 0x3C9),  # Greek
    (0x410, 0x44F),  # Cyrillic
    (0x100, 0x17F),  # Latin Extended-A
    (0x400, 0x52F),  # rest of Cyrillic
    (0x370, 0x3FF),  # rest of Greek
    (0x531, 0x587),  # Armenian
    (0x10A0, 0x10FF),  # Georgian
    (0x180, 0x24F),  # Latin Extended-B
    (0x250, 0x2AF),  # phonetic
)
SYMBOLS_FIRST = (
    (0x2190, 0x21FF),  # arrows
    (0x2500, 0x259F),  # boxes and blocks
    (0x25A0, 0x25FF),  # geometric shapes
    (0x2600, 0x26FF),  # weather, chess, dice, ...
    (0x2200, 0x22FF),  # mathematics
    (0x2701, 0x27BE),  # dingbats
    (0x2300, 0x23FF),  # technical
    (0x27F0, 0x27FF),  # more arrows
    (0x2900, 0x2BFF),  # more arrows and mathematics
    (0x1F030, 0x1F0FF),  # dominoes and cards
)


@dataclass(frozen=True)
class CharacterSource:
    """A named set of fonts, and the characters it shows."""

    name: str
    fonts: tuple[str, ...]  # the upright regular font first
    symbols: bool  # shows no letters or digits


def _family(name: str, slant: str) -> tuple[str, ...]:
    return (name, f"{name}-Bold", f"{name}-{slant}", f"{name}-Bold{slant}")


SOURCES = {
    source.name: source
    for source in (
        CharacterSource("sans", _family("DejaVuSans", "Oblique"), symbols=False),
        CharacterSource("serif", _family("DejaVuSerif", "Italic"), symbols=False),
        CharacterSource("mono", _family("DejaVuSansMono", "Oblique"), symbols=False),
        CharacterSource("symbols", _family("DejaVuSans", "Oblique"), symbols=True),
    )
}


@dataclass(frozen=True)
class CharacterSamples:
    """An endless sequence of samples of one source."""

    source: str
    classes: int
    size: int = 32  # pixels, both sides
    seed: int = 0

    def label(self, i: int) -> int:
        """Class of sample `i`: each block of `classes` samples holds each class once, shuffled."""
        block, position = divmod(i, self.classes)
        return _shuffle(self.classes, self.seed, block)[position]

    def pixels(self, i: int) -> NDArray[np.uint8]:
        """Sample `i` as gray levels, uint8 (size, size)."""
        character = characters(self.source, self.classes)[self.label(i)]
        random = np.random.default_rng([self.seed, i])
        fonts = SOURCES[self.source].fonts
        glyph = _glyph(fonts[random.integers(len(fonts))], _em(self.size), character)
        return _expose(_place(glyph, self.size, random), random)

    def sample(self, i: int) -> Sample:
        """Sample `i` as the fields of a shard: png, cls (class number), txt ("digit zero")."""
        label = self.label(i)
        png = io.BytesIO()
        Image.fromarray(self.pixels(i)).save(png, "png", compress_level=1)  # 4x faster than 6
        name = caption(characters(self.source, self.classes)[label])
        return {"png": png.getvalue(), "cls": str(label).encode(), "txt": name.encode()}


@dataclass(frozen=True)
class RenderedInput:
    """The first samples of a source as an input to pack (see inputs.Input).

    Raises:
        StudyError: an unknown source, or more classes than it has characters.
        DataError: the fonts are not installed.
    """

    source: str
    samples: int
    names: int  # number of classes; the field names are part of made.json
    size: int  # pixels, both sides
    seed: int

    def __post_init__(self) -> None:
        characters(self.source, self.names)  # wrong arguments fail here, not at the first sample

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(map(caption, characters(self.source, self.names)))

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def identity(self) -> dict[str, object]:
        return {"characters": asdict(self)}

    @property
    def reader(self) -> Callable[[int], Sample]:
        return CharacterSamples(self.source, self.names, self.size, self.seed).sample

    def __len__(self) -> int:
        return self.samples

    def rows(self, positions: Sequence[int]) -> list[int]:
        return list(positions)


@cache
def characters(source: str, classes: int) -> tuple[str, ...]:
    """List the first `classes` characters of a source, common ones first; more contain fewer.

    sans, serif and mono have the same. Characters that look like an earlier one (Greek Alpha) are
    left out: their classes would look the same.

    Raises:
        StudyError: an unknown source, or more classes than it has characters.
        DataError: the fonts are not installed.
    """
    if source not in SOURCES:
        raise StudyError(f"source {source!r} is unknown; choose from {', '.join(SOURCES)}")
    symbols = SOURCES[source].symbols
    found = tuple(islice(_distinct(symbols), classes))
    if len(found) < classes or classes < 1:
        most = len(tuple(_distinct(symbols)))
        raise StudyError(
            f"source {source!r} has {most:,} characters, but {classes:,} classes were requested; "
            f"choose 1 to {most:,}"
        )
    return found


def caption(character: str) -> str:
    """Return the Unicode name in lower case: "digit zero"."""
    return unicodedata.name(character).lower()


def _distinct(symbols: bool) -> Iterator[str]:
    shown = [source for source in SOURCES.values() if source.symbols == symbols]
    common = set.intersection(*(set(_coverage(f)) for source in shown for f in source.fonts))
    first = SYMBOLS_FIRST if symbols else LETTERS_FIRST
    ranges = [range(a, b + 1) for a, b in first]
    order = dict.fromkeys(code for r in ranges for code in r if code in common)
    order |= dict.fromkeys(sorted(common))
    looks: set[tuple[str, tuple[int, int], bytes]] = set()
    for character in map(chr, order):
        if not (_is_symbol(character) if symbols else _is_printable(character)):
            continue
        # In no style may it look like an earlier one.
        glyphs = [_glyph(source.fonts[0], _em(32), character) for source in shown]
        look = {
            (source.name, glyph.size, glyph.tobytes())
            for source, glyph in zip(shown, glyphs, strict=True)
        }
        if all(glyph.getbbox() for glyph in glyphs) and not look & looks:
            looks |= look
            yield character


def _is_printable(character: str) -> bool:
    named = unicodedata.name(character, None) is not None
    return named and unicodedata.category(character)[0] in "LNPS"


def _is_symbol(character: str) -> bool:
    words = set(unicodedata.name(character, "LETTER").replace("-", " ").split())
    lettered = words & {"LETTER", "LATIN", "GREEK", "DIGIT", "NUMBER", "SIGN", "BRAILLE"}
    return not lettered and unicodedata.category(character)[0] == "S"


def _font(name: str) -> Path:
    found = importlib.util.find_spec("matplotlib")  # not imported: that takes a second
    if found is None or found.origin is None:
        raise DataError("the fonts of matplotlib are missing; run: pip install matplotlib")
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"
    if not path.is_file():
        raise DataError(f"{path}: the font is missing; install matplotlib again")
    return path


@cache
def _coverage(font: str) -> frozenset[int]:
    from fontTools.ttLib import TTFont

    with TTFont(_font(font), lazy=True) as opened:
        return frozenset(opened.getBestCmap())


@cache
def _open_font(name: str, em: int) -> ImageFont.FreeTypeFont:
    # Some builds of Pillow lack libraqm; the basic layout draws the same with and without.
    return ImageFont.truetype(_font(name), em, layout_engine=ImageFont.Layout.BASIC)


def _em(size: int) -> int:
    """Font size of glyphs: larger than in any sample, so that warping always shrinks them."""
    return round(size * 1.5)


@cache  # 400 characters in 4 fonts of 48 pixels take 3 MB
def _glyph(font: str, em: int, character: str) -> Image.Image:
    """Draw a character in white on black, cut to its edges."""
    canvas = Image.new("L", (3 * em, 3 * em))
    ImageDraw.Draw(canvas).text((em, em), character, 255, _open_font(font, em))
    return canvas.crop(canvas.getbbox() or (0, 0, 1, 1))


@cache  # a block of 400 classes takes 3 kB
def _shuffle(classes: int, seed: int, block: int) -> tuple[int, ...]:
    # Three seed words: the random numbers of samples have two, so these are independent.
    return tuple(np.random.default_rng([seed, block, 0x0DE]).permutation(classes).tolist())


def _place(glyph: Image.Image, size: int, random: np.random.Generator) -> Image.Image:
    """Scale, slant, rotate and shift a character; it stays inside the image."""
    u = random.uniform(-1, 1, 6)
    scale = size * (0.95 + 0.2 * u[0]) / _em(size)  # capitals fill 55% to 84% of the height
    turn = np.deg2rad(10 * u[1])
    slant = np.array([[1, 0.35 * u[2]], [0, 1]])
    stretch = np.diag([1 + 0.2 * u[3], 1])
    cos, sin = np.cos(turn), np.sin(turn)
    forward = scale * np.array([[cos, -sin], [sin, cos]]) @ slant @ stretch

    half = np.abs(forward) @ (np.array(glyph.size) / 2)  # half the width and height, once warped
    shrink = min(1.0, (size / 2 - 1) / half.max())
    slack = size / 2 - shrink * half
    center = size / 2 + np.clip(u[4:] * 0.12 * size, -slack, slack)

    back = np.linalg.inv(shrink * forward)
    start = np.array(glyph.size) / 2 - back @ center
    affine = (*back[0], start[0], *back[1], start[1])
    return glyph.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)


def _expose(ink: Image.Image, random: np.random.Generator) -> NDArray[np.uint8]:
    """Add blur, contrast and noise. Half of the samples have a black ground, like cleaned scans."""
    u = random.uniform(0, 1, 5)
    blur = ink.filter(ImageFilter.GaussianBlur(float(1.6 * u[0] ** 2 * ink.width / 32)))
    strokes = np.asarray(blur, np.float32) / max(1, blur.getextrema()[1])
    ground = 70 * max(0.0, 2 * u[1] - 1)
    light = 150 + 105 * u[2]
    gray = ground + (light - ground) * np.minimum(1, strokes * (1 + 0.6 * u[3]))
    if u[1] > 0.5:
        gray += random.standard_normal(gray.shape, np.float32) * (20 * u[4])
    levels: NDArray[np.uint8] = np.clip(np.rint(gray), 0, 255).astype(np.uint8)
    return levels
