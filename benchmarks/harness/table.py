"""Print one row per claim: ours, the peer it is compared with, the limit, the ratio, the target.

Every benchmark is a folder whose `--json` prints its rows as a list; `python -m benchmarks` runs
them all and puts the rows together.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from benchmarks.harness import machine
from hpc_xfer.system import terminal


@dataclass(frozen=True)
class Row:
    """One measurement; None is absent. At most one of `least`, `most`, `between` is the target."""

    what: str
    unit: str  # of ours, peer and limit: "images/s", "s", "%"
    ours: float | None = None
    peer: float | None = None
    peer_is: str = ""  # "open_clip"
    limit: float | None = None  # a bound that nobody can beat, measured too
    limit_is: str = ""  # "decoding alone, simplejpeg"
    less_is_better: bool = False
    least: float | None = None  # of the ratio
    most: float | None = None  # of ours
    between: Sequence[float] | None = None  # least and most of ours

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's, or the reverse where less is better: above 1 ours is better."""
        if self.ours is None or self.peer is None or not (self.ours and self.peer):
            return None  # of nothing there is no multiple
        return self.peer / self.ours if self.less_is_better else self.ours / self.peer

    @property
    def held(self) -> bool | None:
        """True if the target is met; None where there is none."""
        if self.least is not None and self.ratio is not None:
            return self.ratio >= self.least
        if self.between is not None and self.ours is not None:
            return self.between[0] <= self.ours <= self.between[1]
        return None if self.most is None or self.ours is None else self.ours <= self.most

    @property
    def target(self) -> str:
        if self.least is not None:
            return f"≥ {self.least:.3g}x"
        if self.between is not None:
            return f"{self.between[0]:g} to {self.between[1]:g} {self.unit}"
        return "" if self.most is None else f"≤ {self.most:g} {self.unit}"


def arguments(module: str, description: str) -> argparse.ArgumentParser:
    """A parser with --json, to which a benchmark adds its own."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    return parser


def show(rows: Iterable[Row], as_json: bool) -> None:
    rows = list(rows)
    if as_json:
        facts = {"machine": machine.describe()}
        told = [asdict(r) | {"ratio": r.ratio, "held": r.held} | facts for r in rows]
        print(json.dumps(told, indent=2))
    else:
        terminal.console().print(drawn(rows))


def read(text: str) -> list[Row]:
    """The rows of a benchmark's --json."""
    known = Row.__dataclass_fields__
    return [Row(**{k: v for k, v in row.items() if k in known}) for row in json.loads(text)]


def drawn(rows: Iterable[Row]) -> Table:
    table = Table(caption=machine.describe(), caption_justify="left")
    table.add_column("what")
    for name in ("ours", "peer", "limit", "ratio", "target"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            Text.assemble(f"{row.what} ", (row.unit, "dim")),
            _number(row.ours),
            _named(row.peer, row.peer_is),
            _named(row.limit, row.limit_is),
            "" if row.ratio is None else f"{row.ratio:.2f}x",
            Text.assemble(row.target, ("\nmissed" if row.held is False else "", "red")),
        )
    return table


def progress(told: str) -> None:
    """Print to standard error, so that --json stays JSON."""
    print(told, file=sys.stderr, flush=True)


def _named(value: float | None, name: str) -> Text:
    return Text.assemble(_number(value), (f"\n{name}" if name else "", "dim"))


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
