"""Submit each run that a plan still needs, at most once, whatever happened before.

    report = submit_missing(launched, "launch", say)

Under the lock of the store: resolve what a dead launcher left behind, find the status of each run,
record the lost ones, and submit the rest, parents first, as far as Slurm takes it. The relay job
does the same again when something has ended.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hpc_xfer.errors import SlurmError, SubmitLimit, XferError
from hpc_xfer.scheduling import reconcile
from hpc_xfer.scheduling.array_parts import ArrayPart, array_parts
from hpc_xfer.scheduling.concurrency_limit import ConcurrencyLimit
from hpc_xfer.scheduling.job_requests import request_of
from hpc_xfer.scheduling.reconcile import Say
from hpc_xfer.scheduling.recorded_submission import RecordedSubmitter
from hpc_xfer.scheduling.relay_job import RelayJob
from hpc_xfer.scheduling.replace_moved import replace_moved
from hpc_xfer.scheduling.runs_to_submit import RunSelector
from hpc_xfer.scheduling.submit_report import SubmitReport
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.limits import submit_limits
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.queue import node_names
from hpc_xfer.states.moved_store import Misplaced, misplaced
from hpc_xfer.states.queue_notes import queue_notes
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.states.second_look import last_relay, survey_twice, with_absent_jobs
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.launched_study import LaunchedStudy, prepare_store
from hpc_xfer.store.ownership import launch_lock, site_variables
from hpc_xfer.store.ownership.leases import Lease
from hpc_xfer.store.retry_policy import Retrier
from hpc_xfer.store.submission_ledger import Ledger, read_ledger
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.system import provenance

_REFUSALS = 3  # of different arrays, with none accepted: the site file is wrong, not the arrays


def submit_missing(
    launched: LaunchedStudy, retrier: Retrier, say: Say, before: FinishedRuns | None = None
) -> SubmitReport:
    """Submit the missing runs, and those failed ones that the retrier tries again.

    Args:
        before: a look at the finished runs a moment ago: none is looked at twice where all are.

    Raises:
        SlurmError: Slurm refused a job or does not answer; what was submitted before stays.
        StoreError: the store cannot be written.
    """

    def waiting(holder: dict[str, Any]) -> None:
        say(launch_lock.waiting_sentence(holder))

    launched.store.open(launched.study.name)
    if retrier == "relay":  # perhaps one by hand, whose jobs run its code; a launch prepares it
        take_snapshot(launched.store)
    with launch_lock.held(launched.store, waiting) as lease:
        if retrier == "relay" and launched.store.study(launched.study.name).cancelled.exists():
            say("the study was cancelled; launch it again to go on")  # while the relay was requeued
            return SubmitReport()
        ledger, store = read_ledger(launched.store), launched.store
        places = misplaced(store, ledger)
        ledger.put_aside(submission.name for submission in places.not_ours)
        if retrier != "relay":  # under the lock: no relay reads half of what is written
            prepare_store(launched.study, launched.plan, store, launched.only)
            site_variables.write(store, launched.study.name, launched.site.variables)
            ledger.record_event(launched.study.name, "launch", on="slurm", **provenance.code())
        queue = _reconciled_queue(launched, ledger, lease, places, say)
        statuses, queue = survey_twice(launched.plan, store, ledger, queue, before)
        lease.renew()
        reconcile.record_lost(launched, ledger, queue, statuses)
        submitter = RecordedSubmitter(launched, ledger, lease)
        report = _submit_selected(submitter, retrier, statuses, queue)
        report.notes += places.sentences(queue)
        report.notes += queue_notes(launched.plan, store, launched.study.name, ledger, queue)
        return report


def _reconciled_queue(
    launched: LaunchedStudy, ledger: Ledger, lease: Lease, places: Misplaced, say: Say
) -> Queue:
    """The queue, after all that earlier launches left open is settled."""
    slurm = launched.site.slurm
    queue = reconcile.resolve_intents(ledger, slurm, lease, say)
    reconcile.correct_numbers(ledger, queue, say)
    queue = reconcile.release_held(queue, ledger, slurm, say)
    if places.moved:
        queue = replace_moved(places.moved, launched.store, ledger, slurm, queue, lease, say)
    return with_absent_jobs(queue, last_relay(ledger, launched.study.name))


def _submit_selected(
    submitter: RecordedSubmitter, retrier: Retrier, statuses: Mapping[str, RunStatus], queue: Queue
) -> SubmitReport:
    launched, ledger = submitter.launched, submitter.ledger
    selected = RunSelector(launched, retrier, statuses, ledger, queue).select()
    report = SubmitReport(
        live=sum(status.held for status in statuses.values()),
        given_up=selected.given_up,
        blocked=selected.blocked,
        excluded=_bad_nodes(launched, ledger),
    )
    relay = RelayJob(submitter, queue, statuses, replaces_old_code=retrier != "relay")
    limits = submit_limits(launched.site.slurm, queue)
    room = limits.room
    if room is not None and relay.pending is None:
        room -= 1  # the relay's own
    arrays = ArraySubmitter(
        submitter,
        ConcurrencyLimit(launched, ledger, queue),
        report,
        done={run_id for run_id, status in statuses.items() if status.state == "done"},
        jobs=_jobs_in_queue(statuses, queue),
        elsewhere={
            run_id for run_id, status in statuses.items() if status.live and not status.is_in(queue)
        },
        room=room,
    )
    parts = list(array_parts(launched, selected.plan, statuses, limits.array))
    failure = _submit_with_relay(arrays, parts, relay)
    if failure is not None:
        failure.args = ("; ".join([str(failure), *report.without_relay()]),)
        raise failure
    if retrier == "relay" and report.relay_error:
        raise SlurmError("; ".join(report.without_relay()))
    return report


def _submit_with_relay(
    arrays: "ArraySubmitter", parts: list[ArrayPart], relay: RelayJob
) -> XferError | None:
    """Submit arrays and the relay; return what ended the arrays, and write the rest in the report.

    Whatever happens, the report or the error says so where jobs are in the queue without a relay.
    """
    report, failure = arrays.report, None
    try:
        try:
            arrays.submit_all(parts)  # after all error files were read, or nothing is submitted
        except XferError as error:
            failure = error  # what was submitted before needs its relay all the same
        if not report.is_finished:
            try:
                report.relay = relay.ensure(report)
            except XferError as error:
                report.relay_error = str(error)
        elif any(each.is_unresolved for each in arrays.submitter.ledger.own()):
            report.relay_error = "" if relay.pending else "the launch ended before"
        with contextlib.suppress(XferError):  # else the next launch corrects the numbers
            arrays.submitter.confirm()
    except KeyboardInterrupt:
        if parts and not (report.relay or relay.pending):
            report.relay_error = "interrupted"
        raise KeyboardInterrupt(*report.without_relay()) from None
    return failure


def _jobs_in_queue(statuses: Mapping[str, RunStatus], queue: Queue) -> dict[str, str]:
    return {
        run_id: status.element.job
        for run_id, status in statuses.items()
        if status.held and status.is_in(queue) and status.element and status.element.job
    }


def _bad_nodes(launched: LaunchedStudy, ledger: Ledger) -> tuple[str, ...]:
    """Bad nodes that Slurm knows, the worst first: a third of all at most is excluded.

    A run that kills every node it is started on must not take the whole cluster with it.
    """
    slurm = launched.site.slurm
    bad = ledger.bad_nodes(slurm.bad_node_hits)
    known = node_names(slurm.partition, cluster_of(slurm)) if bad else []
    return tuple(sorted([node for node in bad if node in known][: len(known) // 3]))


@dataclass
class ArraySubmitter:
    """Submits job arrays while there is room, and writes the result into a report."""

    submitter: RecordedSubmitter
    limit: ConcurrencyLimit
    report: SubmitReport
    done: set[str]  # runs
    jobs: dict[str, str]  # run that is in the queue -> its job
    elsewhere: set[str]  # runs at work in a process that is in no job of ours
    room: int | None  # elements that still fit into the queue; None: not known
    names: dict[str, str] = field(default_factory=dict)  # run submitted now -> job name
    refusals: list[SlurmError] = field(default_factory=list)

    def submit_all(self, parts: Iterable[ArrayPart]) -> None:
        """Submit in this order until the queue is full; the rest is deferred.

        Raises:
            SlurmError: Slurm refused all, or gave no clear answer.
        """
        for part in parts:
            if self.report.queue_full_message:
                self.report.deferred += part.run_count
            else:
                self._submit_what_fits(part)
        if self.refusals and not (self.report.submitted or self.report.live):
            raise self.refusals[0]

    def _submit_what_fits(self, part: ArrayPart) -> None:
        if self.room is not None and self.room < len(part.array.packs):
            part, rest = part.split(max(0, self.room))
            self.report.deferred += rest.run_count
            if not part.array.packs:
                return
        parents = [run.id for run in part.array.parents if run.id not in self.done]
        if any(parent in self.report.refused for parent in parents):
            self.report.blocked += part.run_count  # its parent was refused just now
            return
        if any(parent in self.elsewhere for parent in parents):
            self.report.behind_others += part.run_count
            return
        if any(parent not in self.jobs for parent in parents):
            self.report.deferred += part.run_count  # its parent did not fit
            return
        after = tuple(self._job_of(parent) for parent in parents)
        while not self._submit(part, after):
            # The limit is not known; a half may fit.
            part, rest = part.split(len(part.array.packs) // 2)
            self.report.deferred += rest.run_count
            if not part.array.packs:
                return

    def _job_of(self, run_id: str) -> str:
        name = self.names.get(run_id)
        return self.jobs[run_id] if name is None else self.submitter.job_of(name)

    def _submit(self, part: ArrayPart, after: tuple[str, ...]) -> bool:
        """Submit a part; False where the queue is too full for all of it."""
        launched, array = self.submitter.launched, part.array
        resources = launched.study.resources.of(array.kind).model_dump(mode="json")
        launched.store.write_manifest(launched.study.name, array, resources)
        ledger = self.submitter.ledger
        number = ledger.submission_count(launched.study.name, array.id, array.kind) + 1
        request = replace(
            self.limit.limited(request_of(launched, array, number, part.minutes_factor), array),
            after_ok=after,
            memory_per_gpu=part.memory_per_gpu,
            exclude=self.report.excluded,
        )
        lane = self.limit.lane_of(array)
        try:
            submission = self.submitter.submit(array.kind, request, array.id, lane)
        except SubmitLimit as error:
            self.report.queue_full_message = str(error)
            return False
        except SlurmError as error:
            self._record_refusal(array, error)
            return True
        self.report.submitted.append((submission, part.run_count))
        if self.room is not None:
            self.room -= len(array.packs)
        assert submission.job is not None
        self.jobs |= dict.fromkeys((run.id for run in array.runs), submission.job)
        self.names |= dict.fromkeys((run.id for run in array.runs), submission.name)
        if lane is not None:
            self.limit.append(array, self.submitter.job_of(submission.name))
        return True

    def _record_refusal(self, array: JobArray, error: SlurmError) -> None:
        """Leave an array out and go on with the others, unless Slurm refuses them all."""
        if error.unknown:
            raise error
        self.refusals.append(error)
        if len(self.refusals) >= _REFUSALS and not self.report.submitted:
            raise error
        self.report.refused |= {run.id: str(error) for run in array.runs}
