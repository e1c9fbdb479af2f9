"""Ask Slurm a second time before a job is called lost: an empty answer of squeue is not believed.

    queue = read_queues(ledger, site.slurm)
    statuses, queue = survey_twice(plan, store, ledger, queue)

squeue may print nothing and exit 0: a cache or a wrapper of the site, a controller that restarts.
What it lacks is looked up with scontrol, one call for all jobs, and then in accounting.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.queue import current_queue, default_cluster, ended_jobs
from hpc_xfer.slurm.submitted import known_jobs
from hpc_xfer.states.run_states import RunStatus, line_of, survey
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Element, Ledger, Submission
from hpc_xfer.study.plan import Plan


def read_queues(ledger: Ledger, slurm: Slurm) -> Queue:
    """Read the queue of the site's cluster, and of the others on which the ledger has jobs.

    Raises:
        SlurmError: the site's cluster does not answer.
    """
    cluster = cluster_of(slurm)
    queue = replace(current_queue(cluster), here=cluster or default_cluster())
    others = {s.cluster for s in ledger.submissions.values() if s.closed is None}
    for other in sorted(others, key=str):
        if (way := _way_to(other, queue)) == cluster:
            continue
        try:
            queue = queue.with_more(current_queue(way, patience=0).lines.values())
        except SlurmError:  # their runs are shown as jobs of a cluster that does not answer
            queue = replace(queue, unanswered=queue.unanswered | {other})
    return queue


def _way_to(cluster: str | None, queue: Queue) -> str | None:
    """The name by which commands are sent to a cluster; None for the one of this host.

    Old ledgers name no cluster: then it was that of the host.
    """
    if cluster == queue.here:
        return queue.cluster
    return None if cluster == default_cluster() else cluster


def with_absent_jobs(queue: Queue, submissions: Iterable[Submission]) -> Queue:
    """Add what scontrol knows, if the queue lacks one of these submissions."""
    return _with_scontrol(queue, {s.cluster for s in submissions if not _is_shown(queue, s)})


def last_relay(ledger: Ledger, study: str) -> list[Submission]:
    """The relay of a study that was submitted last, if any."""
    relays = [each for each in ledger.submissions_of(study) if each.kind == "relay" and each.job]
    return relays[-1:]


def survey_twice(
    plan: Plan, store: Store, ledger: Ledger, queue: Queue, before: FinishedRuns | None = None
) -> tuple[dict[str, RunStatus], Queue]:
    """Find the status of every run; what the queue lacks is looked up in two other ways.

    Args:
        before: as in `survey`.

    Raises:
        SlurmError: Slurm does not answer the second time.
    """
    now = survey(plan, store, ledger, queue, before)
    if not (absent := list(_absent(now, queue))):
        return now, queue
    queue = _with_scontrol(queue, {element.submission.cluster for element in absent})
    absent = [element for element in absent if line_of(queue, element) is None]
    for cluster in sorted({each.submission.cluster for each in absent}, key=str):
        jobs = {str(each.job) for each in absent if each.submission.cluster == cluster}
        queue = queue.with_more(ended_jobs(jobs, _way_to(cluster, queue)).values())
    return survey(plan, store, ledger, queue), queue


def _with_scontrol(queue: Queue, clusters: set[str | None]) -> Queue:
    for cluster in sorted(clusters - queue.unanswered, key=str):
        queue = queue.with_more(known_jobs(_way_to(cluster, queue)))
    return queue


def _absent(statuses: dict[str, RunStatus], queue: Queue) -> Iterator[Element]:
    """The last elements of unfinished runs that the queue does not show."""
    for status in statuses.values():
        element = status.element
        if status.state == "done" or element is None or element.job is None:
            continue
        if element.submission.closed is None and line_of(queue, element) is None:
            yield element


def _is_shown(queue: Queue, submission: Submission) -> bool:
    return any(queue.find(job, submission.name, submission.user) for _, job in submission.ids())
