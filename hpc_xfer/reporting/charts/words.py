"""Words that figures share: targets of intervals, names of files."""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence

from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.averages import Average
from hpc_xfer.results.estimators.estimate import Target

MINUS = "\N{MINUS SIGN}"  # as wide as a plus
COVERS: dict[Target, str] = {
    "sets": "other data sets like these, with these pre-trainings and draws",
    "E1": "other draws of the images, for this one pre-training",
    "E2": "other seeds of the pre-training and other draws of the images",
}
_NO_DIFFERENCE = "An interval that contains 0 shows no difference at this precision."
_LONGEST = 80  # letters of a file name; paths of Windows end at 260


def without_common(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the parts that all names `a, b, c` share, and each name without them."""
    if len(names) == 1:
        return names[0], {names[0]: ""}
    parts = {name: name.split(", ") for name in names}
    common = [p for p in next(iter(parts.values()), []) if all(p in o for o in parts.values())]
    short = {n: ", ".join(p for p in own if p not in common) or n for n, own in parts.items()}
    return ", ".join(common), short


def covers_averages(averages: Collection[Average]) -> str:
    """Say what the intervals of a figure of accuracies cover."""
    bars = any(a.interval is not None and a.interval.half is not None for a in averages)
    return covers((a.target for a in averages), bars)


def covers_gaps(gaps: Collection[Gap], simultaneous: str = "") -> str:
    """Say what the intervals of a figure of differences cover, and how to read one around 0."""
    bars = any(gap.ci95_low is not None for gap in gaps)
    words = covers((gap.target for gap in gaps), bars, simultaneous)
    return f"{words} {_NO_DIFFERENCE}" if bars else words


def covers(targets: Iterable[Target], bars: bool, simultaneous: str = "") -> str:
    """Say what the intervals of a figure cover.

    Args:
        targets: of the intervals.
        bars: False if there is no interval at all.
        simultaneous: the kind of intervals that hold together.
    """
    if not bars:
        return "No interval can be given."
    kind = f"{simultaneous} 95% intervals".strip()
    words = "; ".join(COVERS[target] for target in sorted({*targets}) if target in COVERS)
    return f"Bars are {kind}" + (f": they cover {words}." if words else " (Student's t).")


def file_name(*parts: str) -> str:
    """Return a name that any file system takes; long ones end in a digest."""
    kept = [part for part in parts if part]
    name = "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", p).strip("-.") or _digest(p) for p in kept)
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
