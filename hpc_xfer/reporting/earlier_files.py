"""Remove the figures that an earlier report drew and this one did not.

They would look as current as their neighbors. Only files that a report listed as its own are
removed, never one that a user put beside them.
"""

from collections.abc import Collection
from pathlib import Path

from hpc_xfer.system import atomic_files

_LIST = "files.json"


def replace_list(folder: Path, written: Collection[Path]) -> None:
    """List the files of this report in its folder, and remove those of the one before.

    Raises:
        StoreError: the folder cannot be written.
    """
    known = atomic_files.read_json(folder / _LIST)
    names = sorted(path.name for path in written)
    earlier = known.get("files", []) if isinstance(known, dict) else []
    for name in earlier if isinstance(earlier, list) else []:
        if isinstance(name, str) and name not in names and Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
    if known != {"files": names}:
        atomic_files.write_json(folder / _LIST, {"files": names})
