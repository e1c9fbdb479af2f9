"""Supervise the workers of one pack on one rank, and decide how the job ends."""

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from hpc_xfer.config.site import Site
from hpc_xfer.errors import SlurmError
from hpc_xfer.execution import job_ending
from hpc_xfer.execution.gpu_failures import GpuFailures
from hpc_xfer.execution.job_ending import EXIT_CODES, Ending, JobFacts
from hpc_xfer.execution.job_failures import JobFailures
from hpc_xfer.execution.pack_in_store import PackInStore
from hpc_xfer.execution.worker_process import (
    WorkerProcess,
    rank_arguments,
    say,
    start_process,
    worker_environment,
)
from hpc_xfer.execution.worker_watch import Signals, WorkerWatch
from hpc_xfer.slurm.control import requeue_this_job
from hpc_xfer.store.retry_policy import is_exhausted
from hpc_xfer.store.store import Store
from hpc_xfer.system.job_environment import (
    ProcessRank,
    array_index,
    current_job,
    restart_count,
)
from hpc_xfer.system.limits.process_share import share_variables

_TICK_SECONDS = 0.5
_RANK_ZERO_SECONDS = 10  # for rank 0 to record the failure, before another rank ends the job
Share = tuple[int, int]  # number of a worker, and of all that execute the pack together


class Supervisor:
    """Executes one pack on one rank, in worker processes that it supervises."""

    def __init__(
        self,
        store: Store,
        site: Site,
        study: str,
        batch: str,
        process_rank: ProcessRank,
        signals: Signals,
    ) -> None:
        self.store, self.site, self.study = store, site, study
        self.process_rank, self.signals = process_rank, signals
        self.pack = PackInStore(store, study, batch, array_index())
        self.failures = JobFailures(self.pack, store, site, study, process_rank)
        self.starts = itertools.count()  # of workers
        self.skipped: set[str] = set()  # runs that this job does not begin again
        self.gpu = GpuFailures()

    @property
    def is_rank_zero(self) -> bool:
        return self.process_rank.rank == 0

    def run(self, command: Sequence[str]) -> int:
        """Execute the pack and return the exit code; `command` starts a worker."""
        if not self.pack.unfinished():
            say("every run of this pack has its record")
            return EXIT_CODES["finished"]
        if self.pack.is_cancelled():
            say("this job was cancelled; launch the study again to go on")
            return EXIT_CODES["stopped"]
        if missing := self.pack.await_parents(self.signals):
            return EXIT_CODES["held" if self.pack.is_parent_held(missing) else "failed"]
        self.skipped = self.pack.hopeless()
        workers = self._run_workers(command)
        return self._exit_code(workers) if self.is_rank_zero else self._exit_code_beside(workers[0])

    def _run_workers(self, command: Sequence[str]) -> list[WorkerProcess]:
        """Execute the pack in one worker, or in several that share the GPU; return the last ones.

        A thread watches each; the main thread waits, so that signals reach it.
        """
        shares = [(number, self.pack.workers) for number in range(self.pack.workers)]
        if len(shares) == 1:
            return [self._run_share(command, shares[0])]
        with ThreadPoolExecutor(len(shares)) as pool:
            return list(pool.map(lambda share: self._run_share(command, share), shares))

    def _run_share(self, command: Sequence[str], share: Share) -> WorkerProcess:
        rest = set(self.pack.left()) - self.skipped
        worker = self._run_worker(command, share)
        while self.is_rank_zero and self._has_died(worker):
            if worker.is_spent:  # it has recorded why
                self.gpu.note(worker)
            elif run := worker.current or self.pack.first_left(*share):
                self.failures.record_death(worker, run)
                self.skipped.add(run)
            else:
                break
            self.skipped |= {event.run for event in worker.failures if event.run}
            # Several ranks can only meet again in a requeued job. A single rank starts a new worker
            # for the rest, unless this one reported nothing, or ended no run: a new one would die
            # the same way.
            before, rest = rest, set(self.pack.left()) - self.skipped
            if self.process_rank.size > 1 or not worker.has_reported or not rest:
                break
            if not rest < before:
                break
            if self.gpu.is_broken:
                say("the GPU is broken: this job ends, and does not begin its other runs")
                break
            worker = self._run_worker(command, share)
        return worker

    def _run_worker(self, command: Sequence[str], share: Share) -> WorkerProcess:
        """Start a worker and watch it until it has ended."""
        attempt = f"{self.process_rank.attempt}-{next(self.starts)}"
        number, count = share
        arguments = [
            *(f"--skip={run}" for run in sorted(self.skipped)), "--pack", self.pack.name,
            *([f"--share={number}/{count}"] if count > 1 else []),
            *rank_arguments(replace(self.process_rank, attempt=attempt)),
        ]  # fmt: skip
        device = None if self.site.slurm.gpu_option == "none" else "cuda"
        environment = worker_environment(device) | share_variables(per_place=count)
        process = start_process([*command, *arguments], environment)
        worker = WorkerProcess([process])
        WorkerWatch(
            worker, self.store, self.site, self.signals, self.is_rank_zero, on_event=self.pack.note
        ).until_end()
        return worker

    def _has_died(self, worker: WorkerProcess) -> bool:
        """Tell whether it ended before it went through its runs, and was not asked to."""
        return not (self.signals.stop or worker.pack_done) and bool(self.pack.left())

    def _exit_code(self, workers: Sequence[WorkerProcess]) -> int:
        ending = job_ending.decide(self._facts(workers))
        left = self.pack.left()
        if ending == "time limit" and left:  # another process may have finished it just now
            current = (worker.current for worker in workers)
            run = next((run for run in current if run in left), left[0])
            message = "no step further within the time limit; raise `minutes`"
            self.failures.record(run, "time limit", message)
        return self._end(ending)

    def _exit_code_beside(self, worker: WorkerProcess) -> int:
        """Return the exit code of a rank other than 0: rank 0 reports for all while it can."""
        clean = worker.leader.returncode == 0 and not worker.failures
        if self.signals.stop or not self.pack.unfinished() or clean:
            return 0
        run, end = self.pack.runs[0], time.monotonic() + _RANK_ZERO_SECONDS
        self.failures.record_own(worker, run)
        while time.monotonic() < end and not self.signals.stop:
            # srun ends all ranks when one ends: let rank 0 end first, so that it can report.
            time.sleep(_TICK_SECONDS)
        if self.signals.stop or not self.pack.unfinished():
            return 0
        self.failures.record_beside(worker, run)
        return self._end(job_ending.after_failure(self._facts([worker])))

    def _facts(self, workers: Sequence[WorkerProcess]) -> JobFacts:
        left = self.pack.left()
        recorded = {failure for run in left if (failure := self.pack.failure_of(run))}
        reported = {event.failure for worker in workers for event in worker.failures}
        return JobFacts(
            unfinished=bool(self.pack.unfinished()),
            held=not left,
            time_is_up=self.signals.usr2,
            told_to_stop=self.signals.term,
            progressed=self.pack.progressed(),
            failures=frozenset(recorded | reported | set(self.gpu.classes)),
            exhausted=is_exhausted(restart_count() + 1, self.site.slurm),
            gpu_is_broken=self.gpu.is_broken,
        )

    def _end(self, ending: Ending) -> int:
        """Requeue the job if it ends so; it keeps its id, its place in the store, its children."""
        if ending == "requeue":
            if self.pack.is_cancelled():
                return EXIT_CODES["stopped"]
            why = "time is up" if self.signals.usr2 else "an accident"
            say(f"{why}: requeueing, to go on from the last checkpoint")
            if (job := current_job()) is not None:
                try:
                    requeue_this_job(job)
                except SlurmError as error:
                    say(f"{error}")
        return EXIT_CODES[ending]
