"""A run as TensorBoard shows it: the content of one folder, before it is written."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hpc_xfer.results.encoder_info import SETTING
from hpc_xfer.study.labels import brief_label

Setting = str | float


@dataclass(frozen=True)
class Point:
    """One value of one curve."""

    tag: str  # name of the curve
    step: int
    value: float


@dataclass(frozen=True)
class BoardRun:
    """One folder with one event file."""

    name: str  # path of the folder below all others
    points: tuple[Point, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)  # none: it is no row of HParams
    is_complete: bool = True
    images: Mapping[str, bytes] = field(default_factory=dict)  # tag -> PNG
    text: str = ""  # Markdown


def setting(text: str) -> Setting:
    """Read a setting of a table as a number if it is one, so that TensorBoard draws an axis."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def settings_of(row: Mapping[str, object]) -> dict[str, Setting]:
    """Name the filled columns of an encoder, or of a pre-training, as HParams shows them.

    HParams sorts by name and shows five: settings of pre-trainings come after `label` and `mode`.
    """
    return {
        name.replace(SETTING, "pre-training ").replace("_", " "): setting(str(value))
        for name, value in row.items()
        if value not in ("", None)
    }


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Make a file name of each name: short, without spaces, and no two alike."""
    result: dict[str, str] = {}
    for name in dict.fromkeys(names):
        made = re.sub(r"[^\w.=+#-]+", "-", brief_label(name)).strip("-.") or "-"
        if made.lower() in {other.lower() for other in result.values()}:  # some disks ignore case
            made = f"{made}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
        result[name] = made
    return result
