"""Run a plan on this machine: the packs and the worker that Slurm would run, as child processes.

Threads put the events of all workers into one queue; all decisions are made in `LocalPool.run`.
"""

import contextlib
import queue
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from hpc_xfer.execution.local_workers import LocalWorker, LocalWorkers
from hpc_xfer.execution.pack_queue import PackQueue
from hpc_xfer.execution.pool_failures import PoolFailures
from hpc_xfer.execution.progress_display import Display
from hpc_xfer.store import failures
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.study.plan import Pack, Plan
from hpc_xfer.system.worker_events import WorkerEvent

_TICK_SECONDS = 0.5  # between looks at progress files, held runs and signals
_LOG_LINES = 10  # of a killed worker's log, for error.json
_MOST_EARLY = 3  # workers in a row; then a library is broken here, or memory is short


@dataclass
class PoolResult:
    """Result of a launch on this machine."""

    failed: dict[str, str] = field(default_factory=dict)  # run id -> message
    blocked: set[str] = field(default_factory=set)
    interrupted: bool = False
    logs: dict[str, Path] = field(default_factory=dict)  # of failed runs whose log is known

    def as_json(
        self, launched: LaunchedStudy, failed: dict[str, str], done: int
    ) -> dict[str, object]:
        """The output of `launch --json` where nothing is left to run.

        Args:
            failed: run -> message, also of runs that were left out since they failed before.
            done: number of runs that have a result.
        """
        folder = launched.store.study(launched.study.name)
        return {
            "study": launched.study.name, "runs": len(launched.plan.runs), "done": done,
            "failed": failed,
            "blocked": sorted(self.blocked), "interrupted": self.interrupted,
            "report": str(folder.report), "summary": str(folder.summary),
        }  # fmt: skip


class EarlyEnds:
    """Workers that ended before they reported anything, since one last did."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def are_many(self) -> bool:
        """Tell whether no other worker is to be started."""
        return self.count >= _MOST_EARLY

    def note(self, worker: LocalWorker) -> str | None:
        """Count a worker that has ended; say so where it is the last one."""
        if worker.process.has_reported:
            return None
        self.count += 1
        if self.count != _MOST_EARLY:
            return None
        return (
            f"{_MOST_EARLY} workers in a row ended before they began a run, for a reason in "
            f"{worker.log}: other runs are not begun; mend it and launch again"
        )


class LocalPool:
    """Executes the unfinished runs of a plan."""

    def __init__(
        self, launched: LaunchedStudy, todo: Plan, done: set[str], jobs: int | None
    ) -> None:
        """
        Args:
            todo: runs to execute; `done` are finished, and runs in neither are left out.
            jobs: processes at once; None for one per GPU, else per core.
        """
        self.store = launched.store
        self.events: queue.Queue[tuple[LocalWorker, WorkerEvent | None]] = queue.Queue()
        self.workers = LocalWorkers(launched, jobs, lambda *event: self.events.put(event))
        self.packs = PackQueue(launched, todo.cut_for(self.workers.slots))
        self.display = Display(launched.plan, launched.store, done)
        self.failures = PoolFailures(launched, self.packs, self.display)
        self.signals = 0  # received so far
        self.early = EarlyEnds()

    def run(self) -> PoolResult:
        """Execute the packs, as many at once as the machine carries, until none can go on."""
        before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            with self.display:
                while not self.signals and self._goes_on():
                    self.packs.hand_out(self._execute)
                    self._take_events()
                    self._look_at_held()
                    for worker in self.workers.all:
                        worker.look_for_hang()  # its end is an event
                    running = (worker.process.current for worker in self.workers.all)
                    self.display.blocked(self.packs.blocked)
                    self.display.refresh([run_id for run_id in running if run_id])
                interrupted = self.signals > 0
        finally:
            self.workers.end()
            for number, handler in before.items():
                signal.signal(number, handler)
        return PoolResult(self.packs.failed, self.packs.blocked, interrupted, self.display.logs)

    def _goes_on(self) -> bool:
        if any(worker.pack for worker in self.workers.all):
            return True
        return not (self.packs.is_empty or self.workers.lost_all_gpus or self.early.are_many)

    def _execute(self, pack: Pack, name: str) -> bool:
        if self.early.are_many:
            return False
        worker = self.workers.execute(pack, name)
        if worker is not None and worker.ranks < pack.gpus:
            title = self.display.title(pack.runs[0].id)
            self.display.say(f"{title}: {pack.gpus} GPUs asked, {worker.ranks} used")
        return worker is not None

    def _take_events(self) -> None:
        with contextlib.suppress(queue.Empty):
            self._handle(*self.events.get(timeout=_TICK_SECONDS))
        while not self.events.empty():
            self._handle(*self.events.get())

    def _handle(self, worker: LocalWorker, event: WorkerEvent | None) -> None:
        if event is None:
            self._handle_end(worker)
            return
        if event.run is not None and not self.packs.knows(event.run):
            return  # a line of a library that looks like an event
        worker.note(event)
        self.early.count = 0
        match event.kind:
            case "started":
                self.display.started(str(event.run))
            case "done":
                self._finish(str(event.run))
            case "failed" if event.failure == "killed" and worker.ranks > 1:
                pass  # another rank died first; the cause is known once all have ended
            case "failed":
                pack = worker.pack.runs if worker.pack else ()
                for run_id in [event.run] if event.run else [run.id for run in pack]:
                    self.failures.note(run_id, event.failure, event.message, worker.log)
            case "held":
                self.packs.hold(str(event.run))
                self.display.held(str(event.run), event.by or {})
            case "pack" if worker.kept:
                self._end_pack(worker)

    def _finish(self, run_id: str) -> None:
        if self.packs.finish(run_id):
            self.display.finished(run_id)

    def _end_pack(self, worker: LocalWorker) -> None:
        """Free a kept worker; one that left runs was told to stop from outside, and ends."""
        left = self.packs.left_of(worker.pack)
        worker.pack = None
        if left and not self.signals:
            worker.process.close()
            self.failures.put_back(left)

    def _handle_end(self, worker: LocalWorker) -> None:
        """Record the failure of the current run, if a pack is unfinished; queue the others again.

        A group of ranks ends with its pack.
        """
        codes = self.workers.remove(worker)
        for sentence in self.workers.look_at_gpus(worker):
            self.display.say(sentence)
        if worker.pack is None:
            return
        for run in worker.pack.runs:
            self.store.run(run.id).rendezvous(worker.attempt).unlink(missing_ok=True)
        if self.signals:
            return
        if (why := self.early.note(worker)) is not None:
            self.display.say(why)
        left = self.packs.left_of(worker.pack)
        # One that began nothing would be started again and again: its first run has to fail.
        is_silent = not worker.process.has_reported
        died_early = worker.process.hung or is_silent
        current = worker.process.current or (left[0].id if left and died_early else None)
        for run in left:
            again = is_silent and self.packs.is_silent_again(run.id)
            if again or current == run.id or not worker.kept:
                self.failures.record_death(worker, run, codes, again)
        self.failures.put_back([run for run in left if run.id in self.packs.open])

    def _look_at_held(self) -> None:
        """Take back runs that another launch no longer works on."""
        for run_id, run in list(self.packs.held.items()):
            folder = self.store.run(run_id)
            if self.store.is_done(run):
                self._finish(run_id)
            elif run_claims.is_alive(folder):
                continue
            elif error := failures.of_last_start(folder):
                self.failures.note(run_id, error["class"], error["message"], log=None)
            else:
                self.failures.put_back([run])
            del self.packs.held[run_id]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if self.signals == 1:
            self.display.say("stopping: runs save a checkpoint (again to kill them)")
        self.workers.signal(signal.SIGTERM if self.signals == 1 else signal.SIGKILL)
