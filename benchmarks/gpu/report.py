"""One row per measurement, and all of them as one Markdown table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.harness.table import Row

_COLUMNS = (
    "what", "images/s", "TFLOP/s", "MFU", "step ms", "host ms", "GiB", "open_clip images/s",
    "ours / open_clip", "else",
)  # fmt: skip
NOTES = """\
A step is forward, backward, clipping and update, on one batch that lies in pinned memory.
*host ms* is a step with a few images: the GPU is never behind, so the time is the host's.
*GiB* is the peak of allocated memory, *MFU* the share of the data sheet's peak in that precision.
open_clip's side is its own `train_one_epoch`, with its model, loss, autocast and AdamW."""


@dataclass(frozen=True)
class Measured:
    """One line of the table; None is absent."""

    what: str
    rate: float | None = None  # images per second
    tflops: float | None = None
    mfu: float | None = None  # share of the card's peak
    step_ms: float | None = None
    host_ms: float | None = None
    gib: float | None = None
    peer: float | None = None  # open_clip's images per second
    found: str = ""  # what is no speed of a step; also why nothing was measured
    failed: bool = False

    def cells(self) -> list[str]:
        ratio = self.rate / self.peer if self.rate and self.peer else None
        return [
            self.what, _number(self.rate), _number(self.tflops),
            "" if self.mfu is None else f"{100 * self.mfu:.0f}%", _number(self.step_ms),
            _number(self.host_ms), _number(self.gib), _number(self.peer),
            "" if ratio is None else f"{ratio:.2f}x", self.found.replace("|", "/"),
        ]  # fmt: skip

    def as_row(self) -> Row:
        """The row as all benchmarks print it."""
        told = f"{self.what}: {self.found}" if self.found else self.what
        name = "open_clip's step" if self.peer else ""
        least = 1.0 if self.peer else None
        return Row(told, "images/s", self.rate, self.peer, name, least=least)


def markdown(rows: Iterable[Measured], facts: Sequence[str]) -> str:
    """What the card is, line by line, then the table and what its columns mean."""
    lines = [*(f"- {fact}" for fact in facts), ""]
    lines.append("| " + " | ".join(_COLUMNS) + " |")
    lines.append("|---|" + "---:|" * (len(_COLUMNS) - 2) + "---|")
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join([*lines, "", NOTES]) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
