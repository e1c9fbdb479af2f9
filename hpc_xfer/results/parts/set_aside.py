"""set_aside.csv: files in the folders of planned runs that are not used, each with the reason.

Broken, half-written and foreign records, copies beside a record, and hits that do not fit it. The
file exists only where there is something to list.
"""

from pathlib import Path

from hpc_xfer.results.parts.all_parts import Parts
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.test_images import TestImages
from hpc_xfer.store.store import Store
from hpc_xfer.system.screen.plain_text import plain

NAME = "set_aside"
_LONGEST = 300  # characters of a reason


def set_aside(parts: Parts, images: TestImages, store: Store) -> list[dict[str, object]]:
    """List the files by their path in the store, each once."""
    hits = [(path.relative_to(store.root).as_posix(), why) for path, why in images.unusable]
    found = dict.fromkeys([*parts.set_aside, *hits])
    return [{"path": plain(path), "why": plain(why, most=_LONGEST)} for path, why in found]


def write_set_aside(rows: list[dict[str, object]], out: Path) -> dict[str, Path]:
    """Write the table, or remove an older one; return the file by its name, if there is one.

    Raises:
        StoreError: the folder cannot be written.
    """
    path = out / f"{NAME}.csv"
    if not rows:
        path.unlink(missing_ok=True)
        return {}
    csv_files.write(path, ("path", "why"), rows)
    return {NAME: path}
