"""Run a plan on this machine: the packs and the worker that Slurm would run, as child processes.

Workers are kept and given pack after pack (importing torch and open_clip takes 8 s on two slow
cores). A pack of several processes gets a group of its own. One thread per worker reads its events
into a queue; all decisions are made in one place, `Pool.run`.
"""

import os
import queue
import signal
import subprocess
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hpc_xfer.config.recipes import Trained
from hpc_xfer.execution import worker_process
from hpc_xfer.execution.progress_display import Display
from hpc_xfer.execution.worker_process import Worker
from hpc_xfer.store import failures, run_claims
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study import job_arrays
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Plan, Run
from hpc_xfer.system import atomic_files, machine

_TICK_SECONDS = 0.5  # between looks at progress files, held runs and signals
_GRACE_SECONDS = 60  # for checkpoints after a stop; then kill


@dataclass
class PoolResult:
    """How a launch on this machine ended."""

    failed: dict[str, str] = field(default_factory=dict)  # run id -> message
    blocked: set[str] = field(default_factory=set)
    interrupted: bool = False


class LocalPool:
    """Executes what a plan still needs; `run` returns when nothing more can be done."""

    def __init__(
        self, launched: LaunchedStudy, todo: Plan, done: set[str], jobs: int | None
    ) -> None:
        """
        Args:
            todo: what is to be run; `done` is, and what is neither is left out.
            jobs: at once; None for one per GPU, else core.
        """
        plan, self.store = launched.plan, launched.store
        self.plan, self.study, self.site = plan, launched.study.name, launched.site_file
        self.all = plan.by_id
        self.waiting: deque[Pack] = deque()
        self.open: set[str] = {run.id for run in todo.runs}  # neither done nor failed
        self.held: dict[str, Run] = {}  # worked on by another launch
        self.outcome = PoolResult()
        self.gpus = Counter(dict.fromkeys(machine.gpus(), 0))  # GPU -> processes on it
        threads = max(plan.resources.pretrain.threads, plan.resources.finetune.threads)
        self.slots = jobs or len(self.gpus) or max(1, machine.cores() // threads)
        self.events: queue.Queue[tuple[Worker, dict[str, Any] | None]] = queue.Queue()
        self.workers: list[Worker] = []
        self.started = 0
        self.signals = 0
        self.resources = plan.resources
        self.display = Display(plan, self.store, done)
        self.names: dict[str, str] = {}  # pack id -> BATCH/INDEX
        for batch in job_arrays.cut_into_arrays(todo):
            self._add(batch)

    def run(self) -> PoolResult:
        """Go through the packs, parents first, as many at once as the machine carries."""
        before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            with self.display:
                while self._more():
                    self._dispatch()
                    self._take_events()
                    self._look_at_held()
                    self.display.refresh([w.current for w in self.workers if w.current])
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self.outcome

    def _more(self) -> bool:
        if self.signals:
            self.outcome.interrupted = True
            return False
        return bool(self.waiting or self.held or any(worker.pack for worker in self.workers))

    def _dispatch(self) -> None:
        """Hand out every pack that is ready while there is room for it."""
        for _ in range(len(self.waiting)):
            pack = self.waiting.popleft()
            match self._readiness(pack):
                case "ready" if worker := self._worker_for(pack):
                    worker.give(pack, self.names[pack.id])
                case "blocked":
                    self._block(pack)
                case _:
                    self.waiting.append(pack)

    def _readiness(self, pack: Pack) -> str:
        parents = [parent.id for parent in pack.parents]
        if any(parent in self.open for parent in parents):
            return "later"
        failed = self.outcome.failed.keys() | self.outcome.blocked
        return "blocked" if any(parent in failed for parent in parents) else "ready"

    def _block(self, pack: Pack) -> None:
        for run in pack.runs:
            self.open.discard(run.id)
            self.outcome.blocked.add(run.id)

    def _busy(self) -> int:
        return sum(len(w.processes) for w in self.workers if w.pack is not None)

    def _worker_for(self, pack: Pack) -> Worker | None:
        """An idle worker or a new one; None while there is no room."""
        free = self.slots - self._busy()
        if pack.gpus > 1:
            # More ranks than slots share what is there, once nothing else runs.
            if free < min(pack.gpus, self.slots):
                return None
            self._retire_idle()
            return self._start(self._ranks(pack), kept=False, pack=pack)
        if free < 1:
            return None
        idle = next((w for w in self.workers if w.kept and w.pack is None), None)
        return idle or self._start(1, kept=True, pack=None)

    def _ranks(self, pack: Pack) -> int:
        """Processes for a pack: with fewer GPUs than asked, as many as share its batch evenly.

        The batch is global, so their number changes no result beyond rounding.
        """
        if not 0 < len(self.gpus) < pack.gpus:
            return pack.gpus
        recipe = pack.runs[0].recipe
        assert isinstance(recipe, Trained), "only a training asks for several"
        parts = recipe.accumulate or 1  # of what a process gets of a batch
        ranks = next(n for n in range(len(self.gpus), 0, -1) if recipe.batch % (n * parts) == 0)
        self.display.say(
            f"{self.display.title(pack.runs[0].id)}: {pack.gpus} GPUs asked, {ranks} used"
        )
        return ranks

    def _start(self, size: int, kept: bool, pack: Pack | None) -> Worker:
        self.started += 1
        own = sorted(self.gpus, key=lambda gpu: self.gpus[gpu])[:size]  # the least used
        self.gpus.update(own)
        command = ["--store", str(self.store.root), "--study", self.study]
        command += ["--site", str(self.site)] if self.site else []
        log = self.store.study(self.study).logs / f"local-{os.getpid()}-{self.started}.log"
        attempt = f"{os.getpid()}-{self.started}"
        name = self.names[pack.id] if pack else None
        worker = worker_process.start(command, log, attempt, size, own, name, kept)
        self.workers.append(worker)
        worker.listen(lambda event: self.events.put((worker, event)))
        return worker

    def _take_events(self) -> None:
        try:
            worker, event = self.events.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return
        self._handle(worker, event)
        while not self.events.empty():
            self._handle(*self.events.get())

    def _handle(self, worker: Worker, event: dict[str, Any] | None) -> None:
        if event is None:
            self._died(worker)
            return
        run_id = event.get("run")
        match event["event"]:
            case "started":
                worker.current = run_id
                self.display.started(str(run_id))
            case "done":
                worker.current = None
                self._done(str(run_id))
            case "failed" if event["class"] == "killed" and len(worker.processes) > 1:
                worker.failures.append(event)  # another rank died first, and may say why
            case "failed":
                worker.current = None
                self._failed(worker, run_id, event["class"], event["message"])
            case "held":
                self.held[str(run_id)] = self.all[str(run_id)]
            case "pack":
                worker.pack = None if worker.kept else worker.pack

    def _done(self, run_id: str) -> None:
        if run_id in self.open:
            self.open.discard(run_id)
            self.display.finished(run_id)

    def _failed(self, worker: Worker, run_id: str | None, kind: str, message: str) -> None:
        runs = [run_id] if run_id else [r.id for r in (worker.pack.runs if worker.pack else ())]
        for name in runs:
            if name in self.open:
                self.open.discard(name)
                self.outcome.failed[name] = f"{kind}: {message}"
                self.display.failed(name, kind, message, worker.log)

    def _died(self, worker: Worker) -> None:
        """The end of a worker: expected for a group whose pack is through, else a failure."""
        self.workers.remove(worker)
        self.gpus.subtract(worker.gpus)
        codes = worker.wait(_GRACE_SECONDS)
        for run in worker.pack.runs if worker.pack else ():
            self.store.run(run.id).rendezvous(worker.attempt).unlink(missing_ok=True)
        if worker.pack is None or self.signals:
            return
        left = [run for run in worker.pack.runs if run.id in self.open and run.id not in self.held]
        for run in left:
            if worker.current == run.id or not worker.kept:
                self._killed(worker, run, codes)
        rest = [run for run in left if run.id in self.open]
        self._again(rest)

    def _killed(self, worker: Worker, run: Run, codes: list[int]) -> None:
        kind, message = _reason(worker, codes)
        lines = worker.log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
        failures.write(self.store.run(run.id), kind, message, lines)
        self._failed(worker, run.id, kind, message)

    def _look_at_held(self) -> None:
        """Runs that another launch works on: done by now, or free again."""
        for run_id, run in list(self.held.items()):
            if self.store.is_done(run):
                self._done(run_id)
            elif run_claims.is_alive(self.store.run(run_id)):
                continue
            elif atomic_files.read_json(self.store.run(run_id).error) is not None:
                error = atomic_files.read_json(self.store.run(run_id).error)
                self.open.discard(run_id)
                self.outcome.failed[run_id] = f"{error['class']}: {error['message']}"
                self.display.failed(run_id, error["class"], error["message"], None)
            else:
                self._again([run])
            del self.held[run_id]

    def _again(self, runs: list[Run]) -> None:
        for batch in job_arrays.arrays_of(self.plan, runs):
            self._add(batch)

    def _add(self, batch: JobArray) -> None:
        resources = self.resources.of(batch.kind)
        self.store.write_manifest(self.study, batch, resources.model_dump(mode="json"))
        for index, pack in enumerate(batch.packs):
            self.names[pack.id] = f"{batch.id}/{index}"
            self.waiting.append(pack)

    def _retire_idle(self) -> None:
        for worker in self.workers:
            if worker.kept and worker.pack is None:
                worker.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if self.signals == 1:
            self.display.say("stopping: runs save a checkpoint (again to kill them)")
        for worker in self.workers:
            worker.signal(signal.SIGTERM if self.signals == 1 else signal.SIGKILL)

    def _end(self) -> None:
        for worker in self.workers:
            worker.close()
        for process in self._alive():
            try:
                process.wait(timeout=_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _alive(self) -> Iterator[subprocess.Popen[str]]:
        for worker in self.workers:
            yield from worker.processes


def _reason(worker: Worker, codes: list[int]) -> tuple[str, str]:
    """Class and message: of the rank that failed first, not of those that lost it."""
    told = next((event for event in worker.failures if event["class"] != "killed"), None)
    if told is not None:
        return told["class"], told["message"]
    code = next((c for c in codes if c != 0), 0)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return "killed", f"the worker ended with {how}; launch again to go on from the last checkpoint"
