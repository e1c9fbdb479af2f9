"""Remove what may go of a store."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_xfer.disk_usage.entries import Size, size_of, total
from hpc_xfer.disk_usage.removable import Removable
from hpc_xfer.errors import StoreError
from hpc_xfer.store.finished.working_files import remove_working_files
from hpc_xfer.store.store import Store


@dataclass
class Cleaned:
    """The result of cleaning: what was removed, and what could not be."""

    removed: list[tuple[str, Size]] = field(default_factory=list)  # what, and how much
    errors: list[str] = field(default_factory=list)

    @property
    def total(self) -> Size:
        return total(size for _, size in self.removed)

    def as_json(self) -> dict[str, Any]:
        removed = [{"what": what, **size.as_json()} for what, size in self.removed]
        return {"removed": removed, **self.total.as_json(), "errors": self.errors}


def clean(store: Store, listed: list[Removable]) -> Cleaned:
    """Remove what is not kept; a file that cannot be removed is told, and stops nothing else."""
    done = Cleaned()
    for each in listed:
        if each.kept:
            continue
        left = Size()
        for path in each.paths:
            left.add(_remove(path, done.errors))
        for run_id in each.finished:
            try:
                remove_working_files(store.run(run_id))
            except StoreError as error:
                done.errors.append(str(error))
        size = Size(each.size.bytes - left.bytes, each.size.files - left.files)
        done.removed.append((each.what, size))
    return done


def _remove(path: Path, errors: list[str]) -> Size:
    """Remove a file or a folder; return the size of what is left of it."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # which follows no link
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        errors.append(f"{path}: cannot be removed ({error.strerror}); fix the permissions")
    return size_of(path)
