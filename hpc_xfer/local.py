"""Run a plan on this machine: the packs and the worker that Slurm would run, as child processes.

Workers are kept and given pack after pack (importing torch and open_clip takes 8 s on two slow
cores). A pack of several processes gets a group of its own. One thread per worker reads its events
into a queue; all decisions are made in one place, `Pool.run`.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from hpc_xfer import batches, claims, failures, files, machine
from hpc_xfer.batches import Batch
from hpc_xfer.display import Display
from hpc_xfer.plan import Pack, Plan, Run
from hpc_xfer.store import Store

_TICK_SECONDS = 0.5  # between looks at progress files, held runs and signals
_GRACE_SECONDS = 60  # for checkpoints after a stop; then kill


@dataclass
class Outcome:
    """How a launch on this machine ended."""

    failed: dict[str, str] = field(default_factory=dict)  # run id -> message
    blocked: set[str] = field(default_factory=set)
    interrupted: bool = False


@dataclass
class _Worker:
    """One kept process, or the processes of one pack."""

    number: int
    log: Path
    attempt: str
    processes: list[subprocess.Popen[str]]
    gpus: list[str]
    kept: bool
    pack: Pack | None = None
    current: str | None = None  # run id

    def give(self, pack: Pack, name: str) -> None:
        self.pack = pack
        pipe = self.processes[0].stdin
        if self.kept and pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # it died; its end is in the queue
                pipe.write(f"{name}\n")
                pipe.flush()

    def signal(self, number: signal.Signals) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def close(self) -> None:
        pipe = self.processes[0].stdin
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class Pool:
    """Executes what a plan still needs; `run` returns when nothing more can be done."""

    def __init__(
        self, plan: Plan, todo: Plan, store: Store, study: str, site: Path | None, jobs: int | None
    ) -> None:
        self.plan, self.store, self.study, self.site = plan, store, study, site
        self.all = plan.by_id
        self.waiting: deque[Pack] = deque()
        self.open: set[str] = {run.id for run in todo.runs}  # neither done nor failed
        self.held: dict[str, Run] = {}  # worked on by another launch
        self.outcome = Outcome()
        self.gpus = Counter(dict.fromkeys(machine.gpus(), 0))  # GPU -> processes on it
        threads = max(plan.resources.pretrain.threads, plan.resources.finetune.threads)
        self.slots = jobs or len(self.gpus) or max(1, machine.cores() // threads)
        self.events: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self.workers: list[_Worker] = []
        self.started = 0
        self.signals = 0
        self.resources = plan.resources
        self.display = Display(plan, store, {run.id for run in todo.runs})
        self.names: dict[str, str] = {}  # pack id -> BATCH/INDEX
        for batch in batches.cut(todo):
            self._add(batch)

    def run(self) -> Outcome:
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

    def _worker_for(self, pack: Pack) -> _Worker | None:
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
        batch = pack.runs[0].columns["pretrain_batch"]
        ranks = next(n for n in range(len(self.gpus), 0, -1) if batch % n == 0)
        self.display.say(
            f"{self.display.title(pack.runs[0].id)}: {pack.gpus} GPUs asked, {ranks} used"
        )
        return ranks

    def _start(self, size: int, kept: bool, pack: Pack | None) -> _Worker:
        self.started += 1
        own = sorted(self.gpus, key=lambda gpu: self.gpus[gpu])[:size]  # the least used
        self.gpus.update(own)
        log = self.store.study(self.study).logs / f"local-{os.getpid()}-{self.started}.log"
        attempt = f"{os.getpid()}-{self.started}"
        processes = []
        with open(log, "a") as errors:
            for rank in range(size):
                places = ["--rank", str(rank), "--world", str(size), "--local-rank", str(rank)]
                group = (
                    [*places, "--attempt", attempt, "--pack", self.names[pack.id]] if pack else []
                )
                processes.append(self._spawn(group, own, errors))
        worker = _Worker(self.started, log, attempt, processes, own, kept)
        self.workers.append(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _spawn(self, extra: list[str], gpus: list[str], errors: IO[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "hpc_xfer.worker", "--store", str(self.store.root)]
        command += ["--study", self.study, *(["--site", str(self.site)] if self.site else [])]
        environment = dict(os.environ)
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        else:
            # Idle OpenMP threads of one worker would spin on the cores of another.
            environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        return subprocess.Popen(
            [*command, *extra],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches us alone; we tell them
        )

    def _listen(self, worker: _Worker) -> None:
        stdout = worker.processes[0].stdout
        assert stdout is not None
        for line in stdout:
            with contextlib.suppress(ValueError):  # a library's print; the log has what matters
                self.events.put((worker, json.loads(line)))
        self.events.put((worker, None))

    def _take_events(self) -> None:
        try:
            worker, event = self.events.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return
        self._handle(worker, event)
        while not self.events.empty():
            self._handle(*self.events.get())

    def _handle(self, worker: _Worker, event: dict[str, Any] | None) -> None:
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

    def _failed(self, worker: _Worker, run_id: str | None, kind: str, message: str) -> None:
        runs = [run_id] if run_id else [r.id for r in (worker.pack.runs if worker.pack else ())]
        for name in runs:
            if name in self.open:
                self.open.discard(name)
                self.outcome.failed[name] = f"{kind}: {message}"
                self.display.failed(name, kind, message, worker.log)

    def _died(self, worker: _Worker) -> None:
        """The end of a worker: expected for a group whose pack is through, else a failure."""
        self.workers.remove(worker)
        self.gpus.subtract(worker.gpus)
        codes = self._wait(worker)
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

    def _wait(self, worker: _Worker) -> list[int]:
        """Exit codes; the other ranks of a broken group are not left waiting for each other."""
        first = worker.processes[0].wait()
        if first != 0:
            worker.signal(signal.SIGTERM)
        codes = []
        for process in worker.processes:
            try:
                codes.append(process.wait(timeout=_GRACE_SECONDS))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        worker.close()
        return codes

    def _killed(self, worker: _Worker, run: Run, codes: list[int]) -> None:
        code = next((c for c in codes if c != 0), 0)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        message = f"the worker ended with {how}; launch again to go on from the last checkpoint"
        lines = worker.log.read_text(errors="replace").splitlines()[-10:]
        failures.write(self.store.run(run.id), "killed", message, lines)
        self._failed(worker, run.id, "killed", message)

    def _look_at_held(self) -> None:
        """Runs that another launch works on: done by now, or free again."""
        for run_id, run in list(self.held.items()):
            if self.store.is_done(run):
                self._done(run_id)
            elif claims.is_alive(self.store.run(run_id)):
                continue
            elif files.read_json(self.store.run(run_id).error) is not None:
                error = files.read_json(self.store.run(run_id).error)
                self.open.discard(run_id)
                self.outcome.failed[run_id] = f"{error['class']}: {error['message']}"
                self.display.failed(run_id, error["class"], error["message"], None)
            else:
                self._again([run])
            del self.held[run_id]

    def _again(self, runs: list[Run]) -> None:
        for batch in batches.only(self.plan, runs):
            self._add(batch)

    def _add(self, batch: Batch) -> None:
        resources = getattr(self.resources, batch.kind)
        self.store.write_batch(self.study, batch, resources.model_dump(mode="json"))
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
