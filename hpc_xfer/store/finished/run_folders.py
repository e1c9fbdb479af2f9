"""List the folders of all runs with what tells that one has changed: one listing, no file is read.

    folders = run_folders(store)
    folders["c0ffee12ab34"].identity        # another one after a file in it was made or removed

File servers send names and times of a folder together (readdirplus of NFS, statahead of Lustre).
"""

import os
import stat
from dataclasses import dataclass

from hpc_xfer.store.paths import StoreDir


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run at one moment."""

    inode: int
    changed_ns: int  # a file in it was made, replaced or removed then, or its permissions changed
    modified_ns: int
    is_plain: bool  # no link, and no file in place of a folder

    @property
    def identity(self) -> str:
        """Text that changes with the names in the folder and the file of each."""
        return f"{self.inode:x}.{self.changed_ns:x}"


def run_folders(store: StoreDir) -> dict[str, RunFolder]:
    """List all folders of runs, by the id of the run; none where the store has none."""
    found: dict[str, RunFolder] = {}
    try:
        with os.scandir(store.runs) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed meanwhile
                    continue
                found[entry.name] = RunFolder(
                    status.st_ino,
                    status.st_ctime_ns,
                    status.st_mtime_ns,
                    stat.S_ISDIR(status.st_mode),
                )
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found
