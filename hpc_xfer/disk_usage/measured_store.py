"""Measure a store: sizes by kind of file, and what lies in the folder of each run.

measured = measure(store)
measured.kinds["encoders"].bytes
measured.runs["c0ffee12ab34"].names
"""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from hpc_xfer.disk_usage.entries import Size, StoreEntry, size_of, total, walk
from hpc_xfer.store.paths import ERROR, HITS, RECORD
from hpc_xfer.store.rehearsal_store import rehearsal_stores
from hpc_xfer.store.store import Store

Kind = Literal[
    "encoders", "checkpoints", "records", "curves", "working files", "caches", "fingerprints",
    "code snapshots", "studies", "logs", "other", "rehearsals",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
# Names in the folder of a run; what is not here is a working file.
_OF_RUNS: dict[Kind, tuple[str, ...]] = {
    "encoders": ("encoder.pt", "encoder.safetensors", "snapshots", "init.json"),
    "checkpoints": ("checkpoint.pt", "checkpoint.previous.pt", "epochs.pt"),
    "records": (RECORD, HITS, ERROR),
    "curves": ("metrics.jsonl", "tb"),
}
_OF_RUN = {name: kind for kind, names in _OF_RUNS.items() for name in names}
WORKING = {"recipe.json", "progress.json", "claims"}
_OURS = _OF_RUN.keys() | WORKING | {"found_held"}
_RUN_ID = re.compile(r"[0-9a-f]{12}")  # other folders in runs/ are somebody else's
_RENDEZVOUS = re.compile(r"rendezvous-.+\.json")
_OF_STORE: dict[str, Kind] = {
    "cache": "caches", "fingerprints": "fingerprints", "code": "code snapshots",
    "studies": "studies",
}  # fmt: skip
_TEMPORARY = re.compile(r"\..+\.\d+(\.[0-9a-f]+)?\.tmp")  # with the process that wrote it
_LEFT_OVER_SECONDS = 24 * 60 * 60  # no writer takes a day for one file


@dataclass
class RunContents:
    """The contents of the folder of a run."""

    names: set[str] = field(default_factory=set)  # at its top
    size: Size = field(default_factory=Size)
    checkpoints: Size = field(default_factory=Size)
    working: Size = field(default_factory=Size)  # what `remove_working_files` removes beside them

    @property
    def is_ours(self) -> bool:
        """Tell whether this package made all that is in it."""
        others = self.names - _OURS
        return all(_RENDEZVOUS.fullmatch(name) or _TEMPORARY.fullmatch(name) for name in others)


@dataclass
class MeasuredStore:
    """Sizes of a store at one moment."""

    store: Store
    kinds: dict[Kind, Size] = field(default_factory=lambda: {kind: Size() for kind in KINDS})
    of_runs: Size = field(default_factory=Size)  # of the runs that were asked about
    runs: dict[str, RunContents] = field(default_factory=dict)
    temporary: list[StoreEntry] = field(default_factory=list)  # files that killed writers left
    rehearsals: dict[Path, Size] = field(default_factory=dict)

    @property
    def total(self) -> Size:
        return total(self.kinds.values())


def measure(store: Store, now: float, asked: Collection[str] = ()) -> MeasuredStore:
    """Walk over a store and the rehearsals beside it; nothing is read.

    Args:
        now: time of the file server.
        asked: ids of runs whose size is told apart.
    """
    found = MeasuredStore(store)
    root = os.fspath(store.root)
    for entry in walk(root):
        parts = entry.path[len(root) + 1 :].split(os.sep)
        is_in_folder = len(parts) > 2 or (parts[1:] and entry.is_folder)
        if parts[0] == "runs" and is_in_folder and _RUN_ID.fullmatch(parts[1]):
            kind = _add_to_run(found.runs.setdefault(parts[1], RunContents()), parts, entry)
            if parts[1] in asked:
                found.of_runs.add(entry.size)
        else:
            kind = _kind_beside_runs(parts)
        found.kinds[kind].add(entry.size)
        old = now - entry.modified > _LEFT_OVER_SECONDS
        if old and not entry.is_folder and _TEMPORARY.fullmatch(parts[-1]):
            found.temporary.append(entry)
    for path in rehearsal_stores(store):
        found.rehearsals[path] = size_of(path)
        found.kinds["rehearsals"].add(found.rehearsals[path])
    return found


def _kind_beside_runs(parts: list[str]) -> Kind:
    if parts[0] == "studies" and parts[2:3] == ["logs"]:
        return "logs"
    return _OF_STORE.get(parts[0], "other")


def _add_to_run(run: RunContents, parts: list[str], entry: StoreEntry) -> Kind:
    """Add an entry in, or the folder of, a run; return its kind."""
    run.size.add(entry.size)
    if len(parts) == 2:
        return "records"  # the folder itself
    run.names.add(parts[2])
    kind = _OF_RUN.get(parts[2], "working files")
    if kind == "checkpoints":
        run.checkpoints.add(entry.size)
    elif parts[2] in WORKING:
        run.working.add(entry.size)
    return kind
