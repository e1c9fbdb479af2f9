"""Start workers on this machine while there is room, and share its GPUs among them."""

import math
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.config.recipes import Trained
from hpc_xfer.execution.local_gpus import LocalGpus
from hpc_xfer.execution.worker_process import (
    WorkerProcess,
    rank_arguments,
    start_process,
    worker_command,
    worker_environment,
)
from hpc_xfer.execution.worker_watch import HangGuard
from hpc_xfer.store.access.logs import open_log
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study.plan import Pack
from hpc_xfer.system import machine
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.limits.process_share import share_variables
from hpc_xfer.system.worker_events import WorkerEvent

_GRACE_SECONDS = 60  # for checkpoints after a stop; then SIGKILL


@dataclass
class LocalWorker:
    """A worker with its GPUs and the pack that it executes."""

    process: WorkerProcess
    log: Path
    attempt: str
    gpus: list[str]
    kept: bool  # takes pack after pack; else it ends after its one
    guard: HangGuard
    pack: Pack | None = None

    @property
    def ranks(self) -> int:
        return len(self.process.processes)

    def note(self, event: WorkerEvent) -> None:
        """Take in what it reports, which is a sign of life."""
        self.process.note(event)
        self.guard.sign()

    def look_for_hang(self) -> bool:
        """Abort it if its run shows no sign of life; an idle worker need not show any."""
        self.guard.notice_pause()
        return self.pack is not None and self.process.is_running and self.guard.look()

    @property
    def is_idle(self) -> bool:
        return self.kept and self.pack is None and not self.process.is_closed


class LocalWorkers:
    """The workers of one launch.

    Those for one process are kept: importing torch and open_clip takes 8 s on two slow cores.
    """

    def __init__(
        self,
        launched: LaunchedStudy,
        jobs: int | None,
        on_event: Callable[[LocalWorker, WorkerEvent | None], None],
    ) -> None:
        """
        Args:
            jobs: processes at once; None for one per GPU (`per_gpu` fine-tunings), without GPUs
                one per `threads` cores.
            on_event: called from a thread with each event, with None at the end of a worker.
        """
        resources = launched.plan.resources
        threads = max(resources.pretrain.threads, resources.finetune.threads)
        self.all: list[LocalWorker] = []
        self._launched, self._on_event = launched, on_event
        self._gpus = LocalGpus(machine.gpus())
        per_gpu = resources.finetune.per_gpu if self._gpus else 1
        self.slots = jobs or len(self._gpus) * per_gpu or max(1, machine.cores() // threads)
        self._pretrain_slots = min(per_gpu, self.slots)  # of one process: it has its GPU alone
        self._started = 0
        site = str(launched.site_file) if launched.site_file else None
        code = take_snapshot(launched.store)
        self._command = worker_command(str(launched.store.root), launched.study.name, site, code)
        self._command += ["--parent", str(os.getpid())]  # it may die while a worker starts
        self._logs = launched.store.study(launched.study.name).logs

    def execute(self, pack: Pack, name: str) -> LocalWorker | None:
        """Give a pack, BATCH/INDEX, to an idle worker or a new one; None while there is no room."""
        free = self.slots - sum(map(self._slots_of, self.all))
        if self.lost_all_gpus:
            return None
        if pack.gpus > 1:
            # More ranks than slots share what is there, once nothing else runs.
            if free < min(pack.gpus * self._pretrain_slots, self.slots):
                return None
            self._retire_idle()
            worker = self._start_ranks(rank_count(pack, len(self._gpus)), name)
        else:
            needed = self._pretrain_slots if pack.kind == "pretrain" else 1
            gpu = self._gpu_with_room(needed)
            if free < needed or (len(self._gpus) and gpu is None):
                return None
            gpus = [gpu] if gpu else []
            idle = (each for each in self.all if each.is_idle and each.gpus == gpus)
            worker = next(idle, None) or self._start([[]], gpus, kept=True)
            worker.process.send_pack(name)
        worker.guard.sign()
        worker.pack = pack
        return worker

    def _slots_of(self, worker: LocalWorker) -> int:
        """Count the slots that a worker takes now."""
        if worker.pack is None:
            return 0
        return worker.ranks * (self._pretrain_slots if worker.pack.kind == "pretrain" else 1)

    def _gpu_with_room(self, slots: int) -> str | None:
        """Return the GPU with the least work, if it has room for more."""
        loads = ((each.gpus, self._slots_of(each) // each.ranks) for each in self.all)
        found = self._gpus.least_loaded(loads)
        if found is None:
            return None
        gpu, work = found
        return gpu if work + slots <= math.ceil(self.slots / len(self._gpus)) else None

    @property
    def lost_all_gpus(self) -> bool:
        return self._gpus.all_are_lost

    def remove(self, worker: LocalWorker) -> list[int]:
        """Take out a worker whose leader has ended, and return the exit codes of its ranks."""
        self.all.remove(worker)
        self._gpus.give_back(worker.gpus)
        return worker.process.end(_GRACE_SECONDS)

    def look_at_gpus(self, worker: LocalWorker) -> Iterator[str]:
        """Give no more work to the GPU of a worker that has ended, if it is broken; say so."""
        before, had_some = len(self._gpus), not self.lost_all_gpus
        if (gpu := self._gpus.drop_if_broken(worker.gpus, worker.process)) is not None:
            self.slots = min(self.slots, math.ceil(self.slots / before) * len(self._gpus))
            yield f"GPU {gpu} is broken and gets no more work; see nvidia-smi"
        if had_some and self.lost_all_gpus:
            yield "no GPU is left: other runs are not begun; launch again later"

    def signal(self, number: signal.Signals) -> None:
        for worker in self.all:
            worker.process.signal(number)

    def end(self) -> None:
        """End all workers after their current packs; kill those that take too long."""
        for worker in self.all:
            worker.process.close()
        for worker in self.all:
            worker.process.end(_GRACE_SECONDS)

    def _retire_idle(self) -> None:
        for worker in self.all:
            if worker.is_idle:
                worker.process.close()

    def _start_ranks(self, size: int, name: str) -> LocalWorker:
        attempt = self._attempt()
        ranks = [ProcessRank(rank, size, rank, attempt) for rank in range(size)]
        gpus = self._gpus.least_used(size)
        arguments = [[*rank_arguments(rank), "--pack", name] for rank in ranks]
        return self._start(arguments, gpus, kept=False)

    def _start(self, arguments: list[list[str]], gpus: list[str], kept: bool) -> LocalWorker:
        """Start a process for each list of arguments."""
        self._gpus.take(gpus)
        places = max(self.slots // self._pretrain_slots, len(arguments))
        environment = worker_environment("cuda" if gpus else None)
        environment |= share_variables(places, self._pretrain_slots)
        environment |= machine.visible_devices(gpus)
        attempt = self._attempt()
        self._started += 1
        log = self._logs / f"local-{attempt}.log"
        with open_log(log) as errors:
            processes = [
                start_process(
                    [*self._command, *each], environment, subprocess.PIPE, errors, new_session=True
                )
                for each in arguments
            ]
        process = WorkerProcess(processes)
        guard = HangGuard(process, self._launched.store, self._launched.site)
        worker = LocalWorker(process, log, attempt, gpus, kept, guard)
        self.all.append(worker)
        worker.process.listen(lambda event: self._on_event(worker, event))
        return worker

    def _attempt(self) -> str:
        """Return the name of the next start."""
        return f"{os.getpid()}-{self._started + 1}"


def rank_count(pack: Pack, gpus: int) -> int:
    """Return the number of processes for a pack.

    With fewer GPUs than asked, as many as share its batch evenly: the batch is global, so their
    number changes no result beyond rounding.
    """
    if not 0 < gpus < pack.gpus:
        return pack.gpus
    recipe = pack.runs[0].recipe
    assert isinstance(recipe, Trained), "only a training asks for several"
    parts = recipe.accumulate or 1  # of the share of a process in a batch
    return next(n for n in range(gpus, 0, -1) if recipe.batch % (n * parts) == 0)
