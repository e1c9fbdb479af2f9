"""Load images on one core: ours, open_clip's and DALI's pipelines for CLIP, lightly's for SimCLR.

    python -m benchmarks.loader
    python -m benchmarks.loader --rounds 9 --seconds 10 --json
    python -m benchmarks.loader --before 8671c5b     # beside the loader of an older commit alone

All read the same tar shards and give 224 px, with one loading process (DALI: one thread). Ours
hands over uint8 and does the colors on the device (measured apart, and with its price on one core
added). open_clip and lightly hand over finished floats; DALI hands over uint8, and captions without
tokens.
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import before, one_core, peers, photo_shards, table
from benchmarks.harness.interleave import Side, in_turn
from benchmarks.harness.table import Row

_SIZE = 224
_UNIT = "images/s"
_SOURCES = {"small": "256-384 px", "large": "noisy 1024 px"}
_ABOUT = {"small": 800, "large": 80}  # images/s of one core
# The fastest way to the pixels that a 224 px crop needs, by kind of source.
_DECODERS = {
    "small": ("torchvision", "simplejpeg", "Pillow"),
    "large": ("torchvision", "simplejpeg", "simplejpeg scaled", "Pillow draft"),
}
# Targets, as multiples of the peer.
_CLIP_LEAST = {"small": 4.0, "large": 2.4}
_DALI_LEAST = {"small": 2.5, "large": None}
_SIMCLR_LEAST = {"small": 5.0, "large": None}
_BEFORE_LEAST = 1 / 1.1  # of an older commit's speed
_SAME_CORE_LEAST = {"small": 2.5, "large": None}


@dataclass
class Loading:
    """Asks the sides the same question."""

    ours: Side
    open_clip: Side
    lightly: Side
    dali: Side
    args: Namespace

    def rows(self, kind: str) -> Iterator[Row]:
        folder, source = str(photo_shards.shards(kind)), _SOURCES[kind]
        limits = dict(self._limits(kind, folder))
        asked = {"folder": folder, "size": _SIZE, **self._common}
        yield from self._clip(kind, asked, limits)
        yield from self._simclr(kind, asked, limits)
        for name, value in limits.items():
            yield Row(f"decoding {source} alone", _UNIT, limit=value, limit_is=name)

    def _clip(self, kind: str, asked: dict[str, Any], limits: Mapping[str, float]) -> Iterator[Row]:
        ours, open_clip, dali, linear = self._in_turn(
            lambda: self.ours.ask(measure="loading", method="clip", **asked),
            lambda: self.open_clip.ask(measure="clip", **asked),
            lambda: self.dali.ask(measure="dali", bicubic=True, **asked),
            lambda: self.dali.ask(measure="dali", bicubic=False, **asked),
        )
        what, bound = f"CLIP, {_SOURCES[kind]}", _bound(ours, limits)
        yield Row(
            what, ours=ours, peer=open_clip, peer_is="open_clip", least=_CLIP_LEAST[kind], **bound
        )
        yield Row(
            f"{what}, both bicubic", ours=ours, peer=dali, peer_is="DALI, one CPU thread",
            least=_DALI_LEAST[kind], **bound,
        )  # fmt: skip
        yield Row(what, ours=ours, peer=linear, peer_is="DALI, linear", **bound)

    def _simclr(
        self, kind: str, asked: dict[str, Any], limits: Mapping[str, float]
    ) -> Iterator[Row]:
        ours, peer, bicubic, color = self._in_turn(
            lambda: self.ours.ask(measure="loading", method="simclr", **asked),
            lambda: self.lightly.ask(measure="simclr", bicubic=False, **asked),
            lambda: self.lightly.ask(measure="simclr", bicubic=True, **asked),
            lambda: self.ours.ask(measure="color", size=_SIZE, **self._common),
        )
        what, bound = f"SimCLR, {_SOURCES[kind]}", _bound(ours, limits)
        yield Row(
            f"{what}, color on the device", ours=ours, peer=peer, peer_is="lightly",
            least=_SIMCLR_LEAST[kind], **bound,
        )  # fmt: skip
        yield Row(
            f"{what}, both bicubic", ours=ours, peer=bicubic, peer_is="lightly, bicubic", **bound
        )
        same_core = 1 / (1 / ours + 1 / color)
        yield Row(
            f"{what}, both bicubic, color on the same core", ours=same_core, peer=bicubic,
            peer_is="lightly, bicubic", least=_SAME_CORE_LEAST[kind], **_bound(same_core, limits),
        )  # fmt: skip
        if kind == "small":
            yield Row("SimCLR, the color pass alone, two views", _UNIT, ours=color)

    @property
    def _common(self) -> dict[str, float]:
        return {"batch": self.args.batch, "seconds": self.args.seconds}

    def _limits(self, kind: str, folder: str) -> Iterator[tuple[str, float]]:
        names = _DECODERS[kind]
        asks = [lambda name=name: self._decode(folder, name) for name in names]
        yield from zip(names, self._in_turn(*asks), strict=True)

    def _decode(self, folder: str, name: str) -> float:
        return self.lightly.ask(
            measure="decoding", folder=folder, decoder=name, seconds=self.args.seconds
        )

    def _in_turn(self, *measures: Callable[[], float]) -> list[float]:
        return in_turn(self.args.rounds, *measures)


def _bound(ours: float, limits: Mapping[str, float]) -> dict[str, Any]:
    """The fastest bare decoder, and the share of it that ours reaches."""
    name = max(limits, key=lambda each: limits[each])
    share = ours / limits[name]
    return {
        "unit": _UNIT,
        "limit": limits[name],
        "limit_is": f"decoding, {name}; {share:.0%} of it",
    }


def rows_beside_before(args: Namespace) -> Iterator[Row]:
    """Ours beside the loader of an older commit, on the same core at the same time."""
    old, program = before.tree(args.before), str(Path(__file__).with_name("cpu_time.py"))
    for kind in args.sources:
        folder = str(photo_shards.shards(kind))
        batches = max(1, round(args.seconds * _ABOUT[kind] / args.batch))
        for method in ("clip", "simclr"):
            what = f"{method}, {_SOURCES[kind]}"
            table.progress(f"loader: {what}")
            words = [program, method, folder, *map(str, (_SIZE, args.batch, batches))]
            pairs = one_core.pairs(words, words, old, args.rounds)
            taken = [[float(side.printed) for side in pair] for pair in pairs]
            now, then = (median(side) for side in zip(*taken, strict=True))
            yield Row(
                what, "us CPU an image", now, then, args.before, less_is_better=True,
                least=_BEFORE_LEAST,
            )  # fmt: skip


def rows(args: Namespace) -> Iterator[Row]:
    python = peers.python()
    with (
        Side(sys.executable, "benchmarks.loader.ours") as ours,
        Side(python, "benchmarks.loader.peers") as open_clip,
        Side(python, "benchmarks.loader.peers") as lightly,
        Side(python, "benchmarks.loader.peers") as dali,
    ):
        loading = Loading(ours, open_clip, lightly, dali, args)
        for kind in args.sources:
            table.progress(f"loader: {_SOURCES[kind]}")
            yield from loading.rows(kind)


def main() -> None:
    parser = table.arguments("loader", __doc__)
    parser.add_argument("--rounds", type=int, default=5, help="medians of so many (5)")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement (4)")
    parser.add_argument("--batch", type=int, default=64, help="images (64)")
    parser.add_argument("--sources", nargs="+", choices=_SOURCES, default=list(_SOURCES))
    parser.add_argument("--before", metavar="COMMIT", help="measure beside this one, not peers")
    args = parser.parse_args()
    table.show(rows_beside_before(args) if args.before else rows(args), args.json)


if __name__ == "__main__":
    main()
