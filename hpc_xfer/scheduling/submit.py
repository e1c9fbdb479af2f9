"""Hand to Slurm what a plan still needs, each run once, whatever happened before.

    report = hand_in(launched, "launch", say)

Under the store's lock: settle what a launcher that died left behind, look how each run stands,
bury what died without a word, and submit the rest, parents first, as far as Slurm takes it. The
relay, a small job behind everything, does the same again when something has ended.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from hpc_xfer.errors import SlurmError, SubmitLimit
from hpc_xfer.scheduling import reconcile, run_states
from hpc_xfer.scheduling.concurrency_limit import ConcurrencyLimit
from hpc_xfer.scheduling.job_requests import relay_request, request_of
from hpc_xfer.scheduling.reconcile import Say
from hpc_xfer.scheduling.run_states import RunStatus
from hpc_xfer.scheduling.submit_report import SubmitReport
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.limits import submit_limits
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.slurm.queue import current_user, node_names
from hpc_xfer.slurm.request import Limits, Request
from hpc_xfer.slurm.sbatch import submit_job
from hpc_xfer.store import failures, launch_lock, run_claims
from hpc_xfer.store.launched_study import LaunchedStudy, prepare_store
from hpc_xfer.store.leases import Lease
from hpc_xfer.store.retry_policy import (
    RULES,
    Retrier,
    is_exhausted,
    is_memory_exhausted,
    memory_failures,
    memory_per_gpu,
)
from hpc_xfer.store.submission_ledger import Element, Ledger, Submission, read_ledger
from hpc_xfer.study import job_arrays
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Plan, Run
from hpc_xfer.system import provenance

_REFUSALS = 3  # in a row, with nothing taken: then it is the site file, not a batch
_FULL_MINUTES = 10  # until the relay looks again, where the queue is full of other jobs


def submit_missing(launched: LaunchedStudy, retry: Retrier, say: Say) -> SubmitReport:
    """Submit what is missing; see `Retrier`.

    Raises:
        SlurmError: Slurm refused a job or does not answer; what was submitted before stays.
        StoreError: the store cannot be written.
    """

    def waiting(holder: dict[str, Any]) -> None:
        say(f"waiting for process {holder.get('pid')} on {holder.get('host')}, which launches too")

    launched.store.open()
    with launch_lock.held(launched.store, waiting) as lease:
        if retry == "relay" and launched.store.study(launched.study.name).cancelled.exists():
            say("the study was cancelled; launching it again goes on")  # a requeue crossed that
            return SubmitReport()
        ledger = read_ledger(launched.store)
        if retry != "relay":
            _begin(launched, ledger)
        queue = reconcile.release_held(reconcile.resolve_intents(ledger, lease, say), ledger, say)
        now, queue = run_states.with_accounting(launched.plan, launched.store, ledger, queue)
        lease.renew()
        reconcile.record_lost(launched, ledger, queue, now)
        return Submitter(launched, retry, ledger, queue, now, lease, say).submit()


def _begin(launched: LaunchedStudy, ledger: Ledger) -> None:
    """Under the lock, so that no relay reads one half of what is written, or writes over it."""
    prepare_store(launched.study, launched.plan, launched.store)
    ledger.record_event(launched.study.name, "launch", on="slurm", **provenance.code())


@dataclass
class Submitter:
    """One pass over what is to be submitted."""

    launched: LaunchedStudy
    retry: Retrier
    ledger: Ledger
    queue: Queue
    now: dict[str, RunStatus]
    lease: Lease
    say: Say
    report: SubmitReport = field(default_factory=SubmitReport)
    refusals: list[SlurmError] = field(default_factory=list)

    def submit(self) -> SubmitReport:
        launched, report = self.launched, self.report
        report.live = sum(each.held for each in self.now.values())
        todo = self._todo()
        limits = submit_limits(launched.site.slurm, self.queue)
        self.room = limits.room
        if self.room is not None:
            self.room -= 0 if self._relay_line() else 1  # one is the relay's
        self.lanes = ConcurrencyLimit(launched, self.ledger, self.queue)
        self.jobs = {  # of parents that are in the queue
            run_id: each.element.job
            for run_id, each in self.now.items()
            if each.held and each.element and each.element.job
        }
        report.excluded = self._bad_nodes()
        parts = list(self._parts(todo, limits))
        while parts and not report.full:
            self._hand(parts.pop(0))
        report.deferred += sum(len(list(part.runs)) for part, _ in parts)
        if self.refusals and not (report.submitted or report.live):
            raise self.refusals[0]
        if report.submitted or report.live or report.deferred:
            report.relay = self._relay()
        return report

    def _todo(self) -> Plan:
        """What is neither done nor in the queue nor given up, nor behind a parent that is."""
        gone: set[str] = set()
        for run in self.launched.plan.runs:
            each = self.now[run.id]
            if each.state == "done" or each.held:
                if each.state == "failed" and not each.is_retried("launch"):
                    gone.add(run.id)  # its pack goes on without it
                continue
            if why := self._against(run, each):
                self.report.given_up[run.id] = why
                gone.add(run.id)
            elif any(parent.id in gone for parent in run.parents):
                self.report.blocked += 1
                gone.add(run.id)
        settled = {run_id for run_id, each in self.now.items() if each.state == "done" or each.held}
        return self.launched.plan.without(settled | gone)

    def _against(self, run: Run, each: RunStatus) -> str:
        """Why a run is not submitted again; nothing if it is."""
        if self.retry == "all" or each.state == "blocked":
            return ""
        if each.state == "missing":
            return "cancelled" if each.why == "cancelled" and self.retry == "relay" else ""
        told = f"{each.why}: {each.message}"
        if not each.is_retried(self.retry):
            return told
        if self.retry == "launch":
            return ""
        error = failures.read(self.launched.store.run(run.id))
        slurm = self.launched.site.slurm
        if RULES[each.why].doubles_memory and is_memory_exhausted(
            memory_failures(failures.history(error)), slurm
        ):
            return told
        tries = self._tries(run)
        return f"{told} ({tries} jobs without progress)" if is_exhausted(tries, slurm) else ""

    def _tries(self, run: Run) -> int:
        """Jobs that came to nothing for this run since it last got further."""
        elements = self.ledger.elements_by_run.get(run.id, [])
        taken = [e for e in reversed(elements) if e.job and e.submission.closed is None]
        vain = sum(1 for _ in takewhile(lambda element: not self._began(element), taken))
        return vain + run_claims.jobs_without_progress(self.launched.store.run(run.id))

    def _began(self, element: Element) -> bool:
        """Whether it came to any of its runs, or nobody can say that it should have.

        One that ended before that speaks of a broken node or environment.
        """
        line = self.queue.lines.get(element.job or "")
        if line is not None and (line.live or line.state == "CANCELLED"):
            return True
        if element.index in element.submission.cancelled:
            return True
        pack = self.ledger.packs(element.submission)[element.index]
        return any(element.job in run_claims.jobs(self.launched.store.run(run)) for run in pack)

    def _parts(self, todo: Plan, limits: Limits) -> Iterator[tuple[JobArray, float | None]]:
        """Batches as large as an array may be, with the memory that their runs need."""
        for batch in job_arrays.cut_into_arrays(todo):
            for memory, packs in self._by_memory(batch).items():
                for part in JobArray(tuple(packs)).parts(limits.array):
                    yield part, memory

    def _by_memory(self, batch: JobArray) -> dict[float | None, list[Pack]]:
        """Packs apart that ran out of memory: they get twice as much each time."""
        found: dict[float | None, list[Pack]] = {}
        for pack in batch.packs:
            times = max(map(self._memory_failures, pack.runs))
            memory = memory_per_gpu(times, self.launched.site.slurm)
            found.setdefault(memory, []).append(pack)
        return found

    def _memory_failures(self, run: Run) -> int:
        if self.now[run.id].state not in ("failed", "lost"):
            return 0
        error = failures.read(self.launched.store.run(run.id))
        return memory_failures(failures.history(error))

    def _hand(self, what: tuple[JobArray, float | None]) -> None:
        """Submit a batch, or as much of it as there is room for."""
        batch, memory = what
        if self.room is not None and self.room < len(batch.packs):
            left = JobArray(batch.packs[max(0, self.room) :])
            self.report.deferred += len(list(left.runs))
            if self.room < 1:
                return
            batch = JobArray(batch.packs[: self.room])
        parents = [parent.id for parent in batch.parents if self.now[parent.id].state != "done"]
        if any(parent in self.report.refused for parent in parents):
            self.report.blocked += len(list(batch.runs))  # its parent was refused just now
            return
        if any(parent not in self.jobs for parent in parents):
            self.report.deferred += len(list(batch.runs))  # its parent did not fit
            return
        after = tuple(self.jobs[parent] for parent in parents)
        while not self._submit(batch, memory, after) and len(batch.packs) > 1:
            half = len(batch.packs) // 2  # the limit is not known; a part may fit
            self.report.deferred += len(list(JobArray(batch.packs[half:]).runs))
            batch = JobArray(batch.packs[:half])

    def _submit(self, batch: JobArray, memory: float | None, after: tuple[str, ...]) -> bool:
        """Whether Slurm took it, or will never: False where a part of it may fit."""
        launched = self.launched
        resources = launched.study.resources.of(batch.kind)
        launched.store.write_manifest(launched.study.name, batch, resources.model_dump(mode="json"))
        lane = self.lanes.of(batch)
        number = self.ledger.submission_count(launched.study.name, batch.id, batch.kind) + 1
        request = replace(
            request_of(launched, batch, number),
            at_once=self.lanes.at_once(lane),
            after_ok=after,
            after_any=self.lanes.tail(lane),
            memory_per_gpu=memory,
            exclude=self.report.excluded,
        )
        submission = Submission(
            launched.study.name, request.name, batch.kind, batch.id, request.array,
            provenance.now(), socket.gethostname(), current_user(), lane,
        )  # fmt: skip
        try:
            job = self._call(submission, request)
        except SubmitLimit as full:
            self.report.full = str(full)
            if len(batch.packs) == 1:
                self.report.deferred += len(list(batch.runs))
            return False
        except SlurmError as error:
            self._refused(batch, error)
            return True
        self.report.submitted.append((submission, len(list(batch.runs))))
        if self.room is not None:
            self.room -= len(batch.packs)
        if batch.kind == "pretrain":
            self.jobs[batch.packs[0].runs[0].id] = job
        self.lanes.append(lane, job)
        return True

    def _refused(self, batch: JobArray, error: SlurmError) -> None:
        """Left out with what Slurm said; the others go on, unless nothing is taken at all."""
        if error.unknown:
            raise error
        self.refusals.append(error)
        if len(self.refusals) >= _REFUSALS and not self.report.submitted:
            raise error
        for run in batch.runs:
            self.report.refused[run.id] = str(error)

    def _bad_nodes(self) -> tuple[str, ...]:
        """Bad nodes that Slurm knows, the worst first: a third of all at most is excluded.

        A run that kills whatever it is started on must not take the whole cluster with it.
        """
        settings = self.launched.site.slurm
        bad = self.ledger.bad_nodes(settings.bad_node_hits)
        there = node_names(settings.partition) if bad else []
        return tuple(sorted([node for node in bad if node in there][: len(there) // 3]))

    def _call(self, submission: Submission, request: Request) -> str:
        """sbatch between its two lines in the ledger."""
        self.lease.renew()
        self.ledger.record_intent(submission)
        try:
            job = submit_job(request, self.launched.site.slurm)
        except SlurmError as error:
            if not error.unknown:
                self.ledger.record_closed(submission, "rejected")
            raise
        self.ledger.record_submitted(submission, job)
        return job

    def _relay_line(self) -> QueueLine | None:
        """The study's relay that waits in the queue. One at work may have looked already."""
        for submission in self.ledger.submissions_of(self.launched.study.name):
            line = self.queue.lines.get(submission.job or "")
            if submission.kind == "relay" and line and line.state == "PENDING":
                return line
        return None

    def _relay(self) -> str | None:
        """The job behind everything: at once when something ends, if something did not fit."""
        follows = self.launched.site.slurm.jobs_may_submit  # what is submitted now
        if (line := self._relay_line()) and (follows or not self.report.submitted):
            return line.job
        while True:
            try:
                return self._submit_relay()
            except SubmitLimit as full:
                if not self.report.submitted:
                    raise SlurmError(
                        "no room for the relay, without which nothing more comes of this study: "
                        f"{full}; launch again when there is"
                    ) from full
                self.report.full = str(full)
                self._withdraw()

    def _submit_relay(self) -> str:
        launched, study = self.launched, self.launched.study.name
        live = self._live_jobs()
        waits = self.report.deferred > 0 and launched.site.slurm.jobs_may_submit
        request = replace(
            relay_request(launched, self.ledger.submission_count(study, None, "relay") + 1),
            after_any=() if waits else live,
            after_one=live if waits else (),
            begin_minutes=0 if live else _FULL_MINUTES,
        )
        submission = Submission(
            study, request.name, "relay", None, None,
            provenance.now(), socket.gethostname(), current_user(),
        )  # fmt: skip
        return self._call(submission, request)

    def _withdraw(self) -> None:
        """Give the place of what was submitted last to the relay."""
        submission, runs = self.report.submitted.pop()
        known = self.ledger.submissions[submission.name]
        self.ledger.record_closed(known, "withdrawn")
        cancel_jobs([str(known.job)])
        self.report.deferred += runs

    def _live_jobs(self) -> tuple[str, ...]:
        """Jobs that work for this study, whoever submitted them; arrays as a whole."""
        jobs = [each.element.job for each in self.now.values() if each.held and each.element]
        jobs += [self.ledger.submissions[s.name].job for s, _ in self.report.submitted]
        return tuple(dict.fromkeys(job.split("_")[0] for job in jobs if job))
