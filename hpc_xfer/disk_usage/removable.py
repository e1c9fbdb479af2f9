"""List what may go of a store, and say why the rest of it has to stay.

    for each in removable(measured, used): ...

`clean` removes what cannot matter: it can be made again, or nobody can use it any more. It never
removes a finished record, an encoder, a checkpoint of an unfinished run, or what is in use.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.disk_usage.entries import Size, size_of, total
from hpc_xfer.disk_usage.in_use import InUse
from hpc_xfer.disk_usage.measured_store import MeasuredStore, RunContents
from hpc_xfer.store.code_snapshot import current_digest
from hpc_xfer.store.documents.plan_document import PLAN
from hpc_xfer.store.finished.finished_runs import FinishedRuns, ReadResult
from hpc_xfer.store.paths import RECORD
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import RunKind

_DIGEST = re.compile(r"[0-9a-z]{12}")
_WORTH_KEEPING = {RECORD, "encoder.pt", "checkpoint.pt", "checkpoint.previous.pt", "snapshots"}


@dataclass(frozen=True)
class Removable:
    """Some files of one sort that may go."""

    what: str
    size: Size
    paths: tuple[Path, ...] = ()  # files and folders, whole
    finished: tuple[str, ...] = ()  # runs whose working files go
    kept: str = ""  # why `clean` leaves them; "" where it removes them

    def as_json(self) -> dict[str, Any]:
        paths = [*map(str, self.paths), *self.finished]
        told = {"what": self.what, **self.size.as_json(), "cleaned": not self.kept}
        return {**told, "kept": self.kept, "names": paths}


def removable(
    measured: MeasuredStore, used: InUse, rehearsals: dict[Path, InUse]
) -> list[Removable]:
    """List all that may go, the empty ones left out.

    Args:
        used: of the store.
        rehearsals: what is in use of the store of each rehearsal.
    """
    found = [_cache(measured, used), _code(measured, used), *_runs(measured, used)]
    temporary = tuple(Path(entry.path) for entry in measured.temporary)
    size = total(entry.size for entry in measured.temporary)
    found.append(Removable("files that killed processes left half written", size, temporary))
    found += _rehearsals(measured, rehearsals)
    return [each for each in found if each.paths or each.finished]


def _cache(measured: MeasuredStore, used: InUse) -> Removable:
    """Decoded images and features: no number depends on them."""
    folder = measured.store.cache("images").parent
    paths = (folder,) if folder.is_dir() and not folder.is_symlink() else ()
    kept = "runs may read it now" if used.is_any or used.why_unknown else ""
    return Removable("cache", measured.kinds["caches"], paths, kept=kept)


def _code(measured: MeasuredStore, used: InUse) -> Removable:
    """Snapshots that no job in the queue runs, but the newest: lines of --by-hand may run it."""
    folder = measured.store.code
    if not folder.is_dir() or folder.is_symlink():
        return Removable("code that no job runs", Size())
    snapshots = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    snapshots = [path for path in snapshots if _DIGEST.fullmatch(path.name)]  # else it is not ours
    snapshots.sort(key=lambda path: path.lstat().st_mtime)
    wanted = used.codes | {current_digest(), *(path.name for path in snapshots[-1:])}
    paths = tuple(path for path in snapshots if path.name not in wanted)
    kept = "jobs submitted by hand may run it" if used.by_hand else used.why_unknown
    return Removable("code that no job runs", total(map(size_of, paths)), paths, kept=kept)


def _runs(measured: MeasuredStore, used: InUse) -> Iterator[Removable]:
    """Working files of finished runs, and runs that no study names."""
    store = measured.store
    named = runs_of_studies(store)
    finished = FinishedRuns.open(store, _result_of_kind(store))
    done: list[str] = []
    unnamed: list[str] = []
    for run_id, contents in measured.runs.items():
        if run_id in used.runs:
            continue
        if named is not None and run_id not in named:
            unnamed.append(run_id)
        elif _working_files(contents).files and _is_finished(finished, run_id, contents):
            done.append(run_id)
    finished.save()
    size = total(_working_files(measured.runs[run_id]) for run_id in done)
    what = "checkpoints and working files of finished runs"
    yield Removable(what, size, finished=tuple(done), kept=used.why_unknown)
    yield from _unnamed_runs(measured, unnamed, used)


def _unnamed_runs(measured: MeasuredStore, unnamed: list[str], used: InUse) -> Iterator[Removable]:
    """Runs that no study names: what may be worth something is told, and left."""
    groups: dict[tuple[str, str], list[str]] = {
        ("results of runs that no study names", "hours of work; remove them yourself, see `names` "
         "of --json"): [],
        ("runs that no study names, with files of others", "remove them yourself, see `names` of "
         "--json"): [],
        ("runs that no study names, without a result", used.why_unknown): [],
    }  # fmt: skip
    worth, foreign, rest = groups.values()
    for run_id in unnamed:
        contents = measured.runs[run_id]
        is_worth = bool(_WORTH_KEEPING & contents.names)
        (worth if is_worth else rest if contents.is_ours else foreign).append(run_id)
    for (what, kept), ids in groups.items():
        size = total(measured.runs[run_id].size for run_id in ids)
        paths = tuple(measured.store.run(run_id).path for run_id in ids)
        yield Removable(what, size, paths, kept=kept)


def _rehearsals(measured: MeasuredStore, used: dict[Path, InUse]) -> Iterator[Removable]:
    for path, size in measured.rehearsals.items():
        kept = used[path].sentence()
        yield Removable(f"rehearsal {path.name}", size, (path,), kept=kept)


def runs_of_studies(store: Store) -> set[str] | None:
    """Ids of the runs that any study of the store names; None where one cannot be read.

    Cancelled studies count: they may be launched again.
    """
    found: set[str] = set()
    for name in store.studies():
        folder = store.study(name)
        content = PLAN.read(folder.plan)
        if content is not None:
            found |= set(content["runs"])
        elif folder.plan.exists() or folder.packs.exists():  # else it was never launched
            return None
    return found


def _working_files(contents: RunContents) -> Size:
    """Size of the files that a finished run loses; a pre-training keeps its recipe.

    See remove_working_files.
    """
    found = Size()
    found.add(contents.checkpoints)
    if "encoder.pt" not in contents.names:
        found.add(contents.working)
    return found


def _is_finished(finished: FinishedRuns, run_id: str, contents: RunContents) -> bool:
    kind: RunKind = "pretrain" if "encoder.pt" in contents.names else "finetune"
    return RECORD in contents.names and finished.find_by(run_id, kind) is not None


def _result_of_kind(store: Store) -> ReadResult:
    def result(run_id: str, kind: RunKind) -> dict[str, Any] | None:
        content = store.result(run_id, kind)
        return None if content is None or content.get("kind", kind) != kind else content

    return result
