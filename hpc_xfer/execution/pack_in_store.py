"""Read the state of the runs of a job's pack from the store, and record their failures."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc_xfer.errors import StoreError
from hpc_xfer.execution.worker_process import say
from hpc_xfer.execution.worker_watch import Signals
from hpc_xfer.store import failures, heartbeat
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.retry_policy import is_retried
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import is_cancelled
from hpc_xfer.system.job_environment import current_job, current_job_name
from hpc_xfer.system.worker_events import WorkerEvent

_NFS_SECONDS = 70  # acdirmax, for which an absent file may stay absent, is 60
_TICK_SECONDS = 0.5


class PackInStore:
    """The runs of one pack, as the store shows them to the job that executes them."""

    def __init__(self, store: Store, study: str, batch: str, index: int) -> None:
        self.store, self.study = store, study
        self.name = f"{batch}/{index}"
        self.manifest = store.read_manifest(study, batch)
        self.runs = _runs_of(self.manifest, index, store.study(study).manifest(batch))
        self._saved_before = self._saved()
        self._failures: dict[str, str] = {}  # run id -> class; error.json may not be writable
        self._held: set[str] = set()  # runs on which a process elsewhere works
        self._told: set[str] = set()  # runs of which the log says so

    @property
    def workers(self) -> int:
        """Number of workers that execute the pack together, on the same GPU."""
        told = self.manifest.get("resources", {}).get("per_gpu", 1)
        return max(1, min(told if isinstance(told, int) else 1, len(self.runs)))

    def unfinished(self) -> list[str]:
        """Return the runs without a record."""
        return [run for run in self.runs if not self.store.is_finished(run, self.manifest["kind"])]

    def left(self) -> list[str]:
        """Return the runs without a record on which no process elsewhere works."""
        return [run for run in self.unfinished() if run not in self._held]

    def note(self, event: WorkerEvent) -> None:
        """Take in what a worker reports: whether a process elsewhere works on a run.

        The workers of this job take over runs of each other; what one of them has is not held.
        """
        by = event.by or {}
        if event.run is None:
            return
        if event.kind == "started":
            self._held.discard(event.run)
        elif event.kind == "held" and not run_claims.is_of_this_job(by):
            self._held.add(event.run)
            if event.run not in self._told:
                owner = run_claims.owner_text(by)
                say(f"{event.run}: held by {owner}; this job leaves it to that process")
                self._told.add(event.run)
                self._record_found_held(event.run, by)

    def is_parent_held(self, missing: Sequence[str]) -> bool:
        """Say why parents have no record; True, and noted, where a living process works on one."""
        for parent in missing:
            folder = self.store.run(parent)
            if not run_claims.is_alive(folder):
                continue
            claim = run_claims.holder(folder) or {}
            owner = run_claims.owner_text(claim)
            say(f"{parent}, the parent, is not done: held by {owner}; launch again when it is done")
            for run in self.unfinished():
                self._record_found_held(run, claim)
            return True
        say(f"{missing[0]}, the parent, has no record; launch the study again")
        return False

    def first_left(self, number: int, count: int) -> str | None:
        """Return the first run that is left of the share of worker `number` of `count`."""
        own = self.runs[number::count]
        return next((run for run in self.left() if run in own), None)

    def is_cancelled(self) -> bool:
        """Tell whether `cancel` took out this job: a requeue would revive it."""
        job, name = current_job(), current_job_name()
        return job is not None and is_cancelled(self.store, self.study, job, name)

    def progressed(self) -> bool:
        """Tell whether a run is further than when this job started: only then more time helps."""
        return self._saved() != self._saved_before

    def await_parents(self, signals: Signals) -> list[str]:
        """Return the parents without a record.

        On NFS a node may not see a new file for a minute, so wait for a record that is expected. A
        process that works on this host would have shown it.
        """
        end, waits = time.monotonic() + _NFS_SECONDS, False
        while missing := self._missing_parents():
            folders = [self.store.run(run) for run in missing]
            if not all(run_claims.attempts(each) and not failures.read(each) for each in folders):
                break  # never begun, or failed: no record is on its way
            if any(run_claims.sign_of_life(each) == "process" for each in folders):
                missing = self._missing_parents()  # it may have ended between the two looks
                break
            if signals.stop or time.monotonic() > end:
                break
            if not waits:
                say(f"waiting for the record of {missing[0]}, the parent")
                waits = True
            time.sleep(_TICK_SECONDS)  # another host writes it: no event reaches us
        return missing

    def hopeless(self) -> set[str]:
        """Return the runs that failed in an earlier start of this job and would fail again."""
        failed = {run: failure for run in self.unfinished() if (failure := self.failure_of(run))}
        return {run for run, failure in failed.items() if not is_retried(failure, by="launch")}

    def failure_of(self, run: str) -> str | None:
        """Return the class of its failure in this job, None where it did not fail in this job."""
        if run in self._failures:
            return self._failures[run]
        error = failures.read(self.store.run(run))
        if error is None or not failures.is_of_job(error, current_job(), current_job_name()):
            return None
        return str(error["class"])

    def is_told(self, run: str) -> bool:
        """Tell whether somebody has written why the last start of a run failed."""
        return failures.of_last_start(self.store.run(run)) is not None

    def record_failure(
        self,
        run: str,
        failure: str,
        message: str,
        log: Sequence[str],
        node: str | None = None,
        silent: bool = False,
    ) -> None:
        """Write error.json; where that fails, remember the class until this process ends."""
        self._failures[run] = failure
        try:
            self.store.check_exists()
            failures.write(self.store.run(run), failure, message, log, node=node, silent=silent)
        except StoreError as full:
            say(f"{failure}: {message}; {full}")

    def _record_found_held(self, run: str, by: Mapping[str, Any] | None) -> None:
        try:
            run_claims.record_found_held(self.store.run(run), by)
        except StoreError as full:
            say(str(full))

    def _missing_parents(self) -> list[str]:
        known = self.manifest.get("runs", {})
        parents = {parent for run in self.runs if run in known for parent in known[run]["parents"]}
        return [run for run in sorted(parents) if not self.store.is_finished(run, "pretrain")]

    def _saved(self) -> list[float]:
        """Return the time of each run's checkpoint, infinity for a finished run."""
        kind, store = self.manifest["kind"], self.store
        return [
            math.inf if store.is_finished(run, kind) else heartbeat.checkpoint_time(store.run(run))
            for run in self.runs
        ]


def _runs_of(manifest: Mapping[str, Any], index: int, path: Path) -> list[str]:
    packs: list[list[str]] = manifest["packs"]
    if not 0 <= index < len(packs) or "kind" not in manifest:
        raise StoreError(f"{path}: has no pack {index}; launch the study again")
    return packs[index]
