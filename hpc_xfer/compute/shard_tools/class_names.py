"""Class names of foreign shards and tables: `classes.json` beside them lists the names in order."""

import os
from collections.abc import Set
from pathlib import Path

from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files

MOST = 1_000_000  # classes; a higher number is an id of something else
_LONGEST = 1000  # letters of a name
NAME = "classes.json"  # beside foreign shards or a table; our own shards have names in the index


def load(folder: Path, found: int | Set[str]) -> tuple[str, ...] | None:
    """Read the names by class number; None where no labels were found.

    Args:
        found: the highest class number plus one, or the names that occur. Without a file, numbers
            are named "0", "1", ..., and names are numbered in sorted order.

    Raises:
        DataError: the file is not a list of names, or lacks some that were found.
    """
    path = folder / NAME
    names = listed(folder)
    if names is None:
        if isinstance(found, int) and found > MOST:
            raise DataError(
                f"{folder}: class number {found - 1:,} is too high without names (at most "
                f"{MOST - 1:,}); number classes 0, 1, 2, ... or name them in {path}"
            )
        numbered = list(map(str, range(found))) if isinstance(found, int) else sorted(found)
        return tuple(numbered) or None
    if isinstance(found, int):
        if len(names) < found:
            raise DataError(
                f"{path}: names {len(names)} classes, but there is a class {found - 1}; add the "
                "missing names"
            )
    elif missing := sorted(found - set(names)):
        raise DataError(f"{path}: lacks the class {missing[0]!r}; add it or remove the file")
    return names


def listed(folder: Path) -> tuple[str, ...] | None:
    """Read the file of names; None where there is none.

    Raises:
        DataError: it is not a list of names.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return None
    names = atomic_files.read_json(path, follow=True)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: is not a JSON list of names; write one name per class, in order")
    if len(names) > MOST or max(map(len, names), default=0) > _LONGEST:
        raise DataError(
            f"{path}: holds {len(names):,} names, the longest of {max(map(len, names)):,} letters, "
            f"but at most {MOST:,} of {_LONGEST:,} are read; correct it"
        )
    return tuple(names)
