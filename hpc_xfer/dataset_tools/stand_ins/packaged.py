"""Write tiny copies of the packaged data sets in their owners' form.

location = make("pets", folder)         # with the counts of the copy
entry = site_entry("pets", folder)      # the same for a site file
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpc_xfer.config.dataset_cards import SplitCounts
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.dataset_tools.stand_ins import camera_traps, class_folders, listed, pickles

Writer = Callable[[Path], SplitCounts]

WRITERS: dict[str, Writer] = {
    "cifar100": pickles.cifar100,
    "dtd": listed.dtd,
    "caltech101": class_folders.caltech101,
    "pets": listed.pets,
    "real": listed.real,
    "clipart": listed.clipart,
    "eurosat": class_folders.eurosat,
    "cassava": listed.cassava,
    "cct20": camera_traps.cct20,
}


def make(name: str, root: Path) -> Location:
    """Write the copy of a data set into `root`, and return its location."""
    return Location("folder", root, counts=WRITERS[name](root))


def site_entry(name: str, root: Path) -> dict[str, Any]:
    """Write the copy, and return the value of its name under `datasets` in a site file."""
    counts = WRITERS[name](root)
    return {"path": str(root), "counts": counts.model_dump(exclude_none=True)}
