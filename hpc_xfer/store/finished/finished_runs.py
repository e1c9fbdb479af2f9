"""Remember which runs were found finished, so that no record is read twice.

    finished = FinishedRuns.open(store, store.result)
    finished.find(run)          # None: it is not finished
    finished.save()

STORE/finished.json has a line of 80 bytes for each run whose record was read and sound, with the
identity of its folder and of its record then. One listing of STORE/runs shows those of all folders,
and one look per run that of its record: a file that was replaced, removed or added in a folder, or
a record that was written over in its place, changes them, and the record is read again. So deleting
the list changes nothing but the time of the next look. It is replaced as a whole; two commands at
once each leave a whole one, and what one of them lacks is read again.
"""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import to_json

from hpc_xfer.errors import StoreError
from hpc_xfer.store.documents import document, record
from hpc_xfer.store.documents.document import Misfit
from hpc_xfer.store.documents.finished_list import FINISHED
from hpc_xfer.store.finished.run_folders import RunFolder, run_folders
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.paths import RECORD, StoreDir
from hpc_xfer.study.plan import Run, RunKind
from hpc_xfer.system import atomic_files
from hpc_xfer.system.limits import bounded_json
from hpc_xfer.system.permissions import other_writer

_KINDS: tuple[RunKind, ...] = ("pretrain", "finetune")
# A folder may change twice within one tick of the file server's clock: 1 s on some (ext3, NFS 2).
_SETTLED_SECONDS = 2.0
_LONGEST_NAME = 64  # of a GPU
ReadResult = Callable[[str, RunKind], dict[str, Any] | None]


class FinishedRun(NamedTuple):
    """The part of a record that lists of runs need."""

    identity: str  # of the folder from which it was read, and of the record
    seconds: float | None
    attempt: int | None
    gpu: str | None  # its name; None: it ran on CPUs


@dataclass
class FinishedRuns:
    """The finished runs of a store: those on the list, and those that are found one by one."""

    store: StoreDir
    result: ReadResult  # reads a record: Store.result
    folders: Mapping[str, RunFolder]
    _listed: Mapping[RunKind, Mapping[str, FinishedRun]]
    clock: Callable[[Path], float] = server_time  # of the file system of a folder
    _new: dict[RunKind, dict[str, FinishedRun]] = field(
        default_factory=lambda: {kind: {} for kind in _KINDS}
    )
    _found: dict[str, FinishedRun] = field(default_factory=dict)

    @classmethod
    def open(
        cls, store: StoreDir, result: ReadResult, clock: Callable[[Path], float] = server_time
    ) -> "FinishedRuns":
        """List the folders of all runs and read the list of finished ones; no record is read."""
        listed = _read(store)  # before the folders: what is newer than the list is read again
        return cls(store, result, run_folders(store), listed, clock)

    def of(self, runs: Iterable[Run]) -> set[str]:
        """Return the ids of those that are finished; write the list if records were read."""
        found = {run.id for run in runs if self.find(run) is not None}
        self.save()
        return found

    @property
    def ids(self) -> set[str]:
        """Ids of the runs that were found finished so far."""
        return set(self._found)

    def if_all(self, runs: Iterable[Run]) -> "FinishedRuns | None":
        """Return this look if it found all of these runs, which stay finished; else None."""
        return self if all(run.id in self._found for run in runs) else None

    def find(self, run: Run) -> FinishedRun | None:
        """Return what the record of a finished run says; None where it is not finished.

        Only a record that the list lacks is read.
        """
        return self.find_by(run.id, run.kind)

    def find_by(self, run_id: str, kind: RunKind) -> FinishedRun | None:
        """Find a run of which only id and kind are known; one that was found is not looked at."""
        if run_id not in self._found and (found := self._look(run_id, kind)) is not None:
            self._found[run_id] = found
        return self._found.get(run_id)

    def _look(self, run_id: str, kind: RunKind) -> FinishedRun | None:
        folder = self.folders.get(run_id)
        if folder is None:
            return None
        identity = self._identity(run_id, folder)
        if identity is None:
            return None
        for known in (self._listed[kind], self._new[kind]):
            found = known.get(run_id)
            if found is not None and found[0] == identity and folder.is_plain:
                return FinishedRun(*found)
        content = self.result(run_id, kind)
        if content is None:
            return None
        made = _from_record(identity, content)
        if folder.is_plain:
            self._new[kind][run_id] = made
        return made

    def _identity(self, run_id: str, folder: RunFolder) -> str | None:
        """Identify a folder and its record as they are now; None where there is no record."""
        try:
            status = os.stat(f"{self.store.runs}/{run_id}/{RECORD}", follow_symlinks=False)
        except FileNotFoundError:
            return None if folder.is_plain else folder.identity
        except OSError:  # a folder that is a file or closed to us: reading the record says so
            return folder.identity
        # What wrote it may have set its time of modification, but not this one.
        return f"{folder.identity}.{status.st_size:x}.{status.st_ctime_ns:x}"

    def save(self) -> None:
        """Write the list if records were read; a store that cannot be written stays without.

        Folders and records that changed in this moment may change again within one tick of the
        clock: they are left to the next look.
        """
        if not any(self._new.values()):
            return
        settled = int((self.clock(self.store.runs) - _SETTLED_SECONDS) * 1e9)
        new = {
            kind: {
                run_id: made
                for run_id, made in found.items()
                if max(self.folders[run_id].changed_ns, _changed_ns(made)) < settled
            }
            for kind, found in self._new.items()
        }
        if not any(new.values()):
            return
        content = {
            kind: {**_still_true(self._listed[kind], self.folders), **new[kind]} for kind in _KINDS
        }
        with contextlib.suppress(StoreError):
            data = to_json({"schema": 1, "code": _code(), **content})
            atomic_files.write_bytes(self.store.finished, data, durable=False)


def _from_record(identity: str, content: Mapping[str, Any]) -> FinishedRun:
    seconds = content.get("timing", {}).get("seconds")
    provenance = content.get("provenance", {})
    attempt = provenance.get("attempt", 1) if provenance else None
    gpu = provenance.get("gpu")
    return FinishedRun(identity, seconds, attempt, str(gpu)[:_LONGEST_NAME] if gpu else None)


def _changed_ns(made: FinishedRun) -> int:
    """When the record itself was changed; its identity ends so."""
    return int(made.identity.rpartition(".")[2], 16)


def _still_true(
    listed: Mapping[str, FinishedRun], folders: Mapping[str, RunFolder]
) -> dict[str, FinishedRun]:
    """Keep what is as it was: of runs of all studies, so that no study drops those of others."""
    return {
        run_id: found
        for run_id, found in listed.items()
        if (folder := folders.get(run_id)) is not None
        and found[0].startswith(f"{folder.identity}.")
    }


def _read(store: StoreDir) -> dict[RunKind, dict[str, FinishedRun]]:
    """Read the list; an empty one where it is odd, of other code, or others may have written it."""
    with contextlib.suppress(OSError, ValueError, Misfit):
        data = _own_bytes(store)
        if data and (content := FINISHED.fitted(bounded_json.parse(data)))["code"] == _code():
            return {kind: content[kind] for kind in _KINDS}
    return {kind: {} for kind in _KINDS}


def _own_bytes(store: StoreDir) -> bytes:
    """Read the file; nothing where it is too large, or others may have written it."""
    with open(atomic_files.open_plainly(store.finished), "rb") as file:
        status = os.fstat(file.fileno())
        if other_writer(status, file.fileno(), store.trusts_members) is not None:
            return b""
        return file.read() if status.st_size <= FINISHED.most else b""


@functools.cache
def _code() -> str:
    """Digest of the code that calls a record sound: no number to count up by hand."""
    files = (document.__file__, record.__file__, __file__)
    return hashlib.sha256(b"".join(Path(each).read_bytes() for each in files)).hexdigest()[:32]
