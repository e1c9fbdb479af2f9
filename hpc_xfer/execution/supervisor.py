"""Supervise the worker of one pack on one rank, and decide how the job ends."""

import math
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

from hpc_xfer.config.site import Site
from hpc_xfer.errors import SlurmError, StoreError
from hpc_xfer.execution.worker_process import WorkerProcess, say
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE, log_path
from hpc_xfer.slurm.control import requeue_jobs
from hpc_xfer.store import failures, heartbeat, run_claims
from hpc_xfer.store.retry_policy import is_exhausted, is_retried
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import is_cancelled
from hpc_xfer.system import machine
from hpc_xfer.system.job_environment import ProcessRank, array_index, current_job, restart_count

STOPPED = 86
_TICK_SECONDS = 0.5
_TERM_GRACE = 60  # after SIGTERM, seconds; Slurm's KillWait is rather less
_PEERS_SECONDS = 10  # for rank 0 to say what went wrong, before another rank ends the job
_NFS_SECONDS = 70  # acdirmax, for which an absent file may stay absent, is 60
_STOOD_STILL = 5  # seconds between two looks, which come every half: Slurm had suspended the job
_LOG_LINES = 30  # of its log that error.json keeps


@dataclass
class Signals:
    """What was asked of us so far; handlers only set flags."""

    term: bool = False
    usr2: bool = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGUSR2, self._handle)

    def asked(self) -> bool:
        return self.term or self.usr2

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.usr2 |= number == signal.SIGUSR2
        self.term |= number == signal.SIGTERM


class Supervisor:
    """Sees one pack through on one rank."""

    def __init__(
        self,
        store: Store,
        site: Site,
        study: str,
        batch: str,
        place: ProcessRank,
        signals: Signals,
    ) -> None:
        self.store, self.site, self.study, self.batch = store, site, study, batch
        self.place, self.signals = place, signals
        self.manifest = store.read_manifest(study, batch)
        self.index = array_index()  # of the array
        self.pack: list[str] = self.manifest["packs"][self.index]
        self.reached = self._reached()  # before this start
        self.oom_kills = machine.oom_kills()
        self.starts = 0
        self.skipped: set[str] = set()  # runs that are not begun again in this job
        self.kinds: dict[str, str] = {}  # run id -> class of its failure in this start

    @property
    def is_rank_zero(self) -> bool:
        return self.place.rank == 0

    def run(self, command: Sequence[str]) -> int:
        """The exit code; `command` starts a worker."""
        if not self._left():
            say("every run of this pack has its record")
            return 0
        if self._is_cancelled():
            say("this job was cancelled; launch the study again to go on")
            return STOPPED
        if missing := self._await_parents():
            say(f"{missing[0]}, the parent, has no record; launch the study again")
            return 1
        self.skipped = self._hopeless()
        watch = self._run_worker(command)
        while self.is_rank_zero and self._is_dead(watch):
            self.skipped.add(self._blame(watch))
            # Ranks meet anew in a job that starts anew; alone, a worker can go on with the rest.
            # One that told nothing came to no run: the next would not either.
            if self.place.size > 1 or watch.silent or not set(self._left()) - self.skipped:
                break
            watch = self._run_worker(command)
        return self._code(watch) if self.is_rank_zero else self._code_of_guest(watch)

    def _is_dead(self, watch: WorkerProcess) -> bool:
        """Whether it has ended untold, before it went through its runs."""
        return not (self.signals.asked() or watch.through) and bool(self._left())

    def _code(self, watch: WorkerProcess) -> int:
        left = self._left()
        if not left:
            return 0
        if self.signals.usr2:
            if self._got_further():
                return self._again("time is up")
            told = "no step further within the time limit; raise `minutes`"
            self._fail(watch.current or left[0], "time limit", told)
            return 1
        if self.signals.term:
            return STOPPED
        return self._again_after_accident(watch) or 1

    def _again_after_accident(self, watch: WorkerProcess) -> int | None:
        """Where the last failure of a run in this job was an accident, and trying again is left."""
        told = {event["class"] for event in watch.failed.values()}
        kinds = {*told, *map(self._failure_here, self._left())} - {None}
        if not any(is_retried(kind, by="job") for kind in kinds):
            return None
        if is_exhausted(restart_count() + 1, self.site.slurm) and not self._got_further():
            return None
        return self._again("an accident")

    def _code_of_guest(self, watch: WorkerProcess) -> int:
        """Rank 0 speaks for all; we speak up where it cannot, and end the job."""
        code = watch.process.returncode
        if self.signals.asked() or not self._left() or (code == 0 and not watch.failed):
            return 0
        run, end = self.pack[0], time.monotonic() + _PEERS_SECONDS
        while time.monotonic() < end and not self.signals.asked():
            time.sleep(_TICK_SECONDS)  # the end of rank 0 ends us too; ours would end it
        if self.signals.asked() or not self._left():
            return 0
        told = watch.failed.get(run)
        if told is not None and told["class"] != "killed":
            self._fail(run, told["class"], told["message"])
        elif self._failure_here(run) is None:
            self._blame(watch)
        return self._again_after_accident(watch) or 1

    def _again(self, why: str) -> int:
        """Requeued, this job keeps its id, its place in the store and those who wait for it."""
        job = current_job()
        if self._is_cancelled():
            return STOPPED
        say(f"{why}: requeueing, to go on from the last checkpoint")
        if job is not None:
            try:
                requeue_jobs([job])
            except SlurmError as error:
                say(f"{error}")
        return REQUEUE_EXIT_CODE

    def _run_worker(self, command: Sequence[str]) -> WorkerProcess:
        """Start a worker, and look after it until it has ended and all it said is heard."""
        place = self.place
        watch = WorkerProcess([
            *command, *(f"--skip={run}" for run in sorted(self.skipped)),
            "--pack", f"{self.batch}/{self.index}", "--rank", str(place.rank),
            "--world", str(place.size), "--local-rank", str(place.local_rank),
            "--attempt", f"{place.attempt}-{self.starts}",
        ])  # fmt: skip
        self.starts += 1
        while watch.poll_events():
            self._look(watch)
        return watch

    def _look(self, watch: WorkerProcess) -> None:
        """Pass on what was asked of us; end what does not end, and what does not move."""
        now = time.time()
        if now - watch.last_look > _STOOD_STILL:  # so did the worker: it was suspended with us
            watch.last_event = now
        watch.last_look = now
        if self.signals.asked() and watch.asked is None:
            watch.asked = now
            why = "SIGUSR2, time is up" if self.signals.usr2 else "SIGTERM"
            say(f"told to stop ({why}): the worker saves itself")
            watch.process.send_signal(signal.SIGTERM)
        if watch.asked is not None and now - watch.asked > self._grace():
            say("the worker did not stop in time; it is killed")
            watch.process.kill()
        elif self.is_rank_zero and now - self._last_sign(watch) > 60 * self.site.slurm.hang_minutes:
            watch.abort()

    def _grace(self) -> float:
        if self.signals.term:
            return _TERM_GRACE
        return 0.6 * self.site.slurm.signal_seconds  # Slurm may be late, and the rest takes time

    def _last_sign(self, watch: WorkerProcess) -> float:
        if watch.current is None:
            return watch.last_event
        try:
            beat = self.store.run(watch.current).progress.stat().st_mtime
        except OSError:
            beat = 0.0
        return max(watch.last_event, beat)

    def _blame(self, watch: WorkerProcess) -> str:
        """Write error.json for the run during which a worker died; returns its id."""
        victim = watch.current or self._left()[0]
        code = watch.process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        kind, message = "killed", f"the worker ended with {how}"
        if watch.hung:
            minutes = self.site.slurm.hang_minutes
            kind, message = "hung", f"no sign of life for {minutes:g} min; the worker was killed"
        elif code == -signal.SIGKILL and machine.oom_kills() > self.oom_kills:
            kind, message = "out of memory", "the node's memory ran out; the worker was killed"
        self._fail(victim, kind, message)
        return victim

    def _fail(self, run: str, kind: str, message: str) -> None:
        """Say it in error.json; where the disk is full we remember it as long as we live."""
        self.kinds[run] = kind
        try:
            failures.write(self.store.run(run), kind, message, self._last_lines())
        except StoreError as full:
            say(f"{kind}: {message}; {full}")

    def _is_cancelled(self) -> bool:
        """A requeue that crosses `cancel`, ours or Slurm's, would revive what it took out."""
        job = current_job()
        return job is not None and is_cancelled(self.store, self.study, job)

    def _left(self) -> list[str]:
        return [run for run in self.pack if not self.store.is_finished(run, self.manifest["kind"])]

    def _missing_parents(self) -> list[str]:
        parents = {parent for run in self.pack for parent in self.manifest["runs"][run]["parents"]}
        return [run for run in sorted(parents) if not self.store.is_finished(run, "pretrain")]

    def _await_parents(self) -> list[str]:
        """Parents without a record; NFS may show a node for a minute that a new file is absent."""
        end, told = time.monotonic() + _NFS_SECONDS, False
        while missing := self._missing_parents():
            folders = [self.store.run(run) for run in missing]
            if not all(run_claims.attempts(each) and not failures.read(each) for each in folders):
                break  # never begun, or failed: no record is on its way
            if self.signals.asked() or time.monotonic() > end:
                break
            if not told:
                say(f"waiting for the record of {missing[0]}, the parent")
                told = True
            time.sleep(_TICK_SECONDS)  # another host writes it: nothing tells us
        return missing

    def _hopeless(self) -> set[str]:
        """Runs that failed in an earlier start of this job for a reason that stays."""
        kinds = {run: self._failure_here(run) for run in self._left()}
        return {run for run, kind in kinds.items() if kind and not is_retried(kind, by="launch")}

    def _failure_here(self, run: str) -> str | None:
        """The class of its failure in this job, if it failed in this job."""
        if run in self.kinds:
            return self.kinds[run]
        error = failures.read(self.store.run(run))
        if error is None or error["job"] != current_job():
            return None
        return str(error["class"])

    def _reached(self) -> list[float]:
        """How far each run is: what must have changed for another start to make sense."""
        kind, store = self.manifest["kind"], self.store
        return [
            math.inf if store.is_finished(run, kind) else heartbeat.checkpoint_time(store.run(run))
            for run in self.pack
        ]

    def _got_further(self) -> bool:
        return self._reached() != self.reached

    def _last_lines(self) -> list[str]:
        job = current_job()
        if job is None:
            return []
        path = log_path(self.store.study(self.study).logs, job, self.place.rank)
        try:
            return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        except OSError:
            return []
