"""Words that figures share: targets of intervals, names of files."""

import hashlib
import re
from collections.abc import Iterable, Sequence

from hpc_xfer.results.estimators.estimate import Target

COVERS: dict[Target, str] = {
    "sets": "other data sets like these, with these pre-trainings and draws",
    "E1": "other draws of the images, for this one pre-training",
    "E2": "other seeds of the pre-training and other draws of the images",
}
NO_DIFFERENCE = "An interval that contains 0 shows no difference at this precision."


def told_apart(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return what all `a, b, c` have in common, and each name without that."""
    if len(names) == 1:
        return names[0], {names[0]: ""}
    parts = {name: name.split(", ") for name in names}
    common = [p for p in next(iter(parts.values()), []) if all(p in o for o in parts.values())]
    short = {n: ", ".join(p for p in own if p not in common) or n for n, own in parts.items()}
    return ", ".join(common), short


def covers(targets: Iterable[Target], bars: bool, simultaneous: str = "") -> str:
    """Say what the intervals of a figure cover."""
    found = sorted({target for target in targets if target})
    if not bars:
        return "No interval can be given."
    kind = f"{simultaneous} 95% intervals".strip()
    words = "; ".join(COVERS[target] for target in found if target in COVERS)
    return f"Bars are {kind}" + (f": they cover {words}." if words else " (Student's t).")


def file_name(*parts: str) -> str:
    """Return a name that any file system takes; long ones end in a digest."""
    kept = [part for part in parts if part]
    name = "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", p).strip("-.") or _digest(p) for p in kept)
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}-{_digest(name)}"


_LONGEST = 80


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
