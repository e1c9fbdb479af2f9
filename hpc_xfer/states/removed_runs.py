"""Find jobs in the queue with runs that the grid no longer has.

removed = removed_jobs(plan, store, study, ledger, queue)
removed.jobs        # (submission, index of the element, its line)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states.job_numbers import lines_of
from hpc_xfer.store.launched_study import runs_of_other_studies
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission
from hpc_xfer.study.plan import Plan
from hpc_xfer.system.terminal import counted

Job = tuple[Submission, int, QueueLine]


@dataclass
class RemovedJobs:
    """Jobs and elements of arrays with runs that no study of the store has any more."""

    jobs: list[Job] = field(default_factory=list)  # whose runs are all removed
    runs: int = 0  # in them
    mixed: int = 0  # jobs that hold removed runs beside others

    def sentences(self) -> Iterator[str]:
        if self.jobs:
            one, jobs = self.runs == 1, "1 job"
            if len(self.jobs) > 1:
                jobs = f"{len(self.jobs):,} jobs or elements of arrays"
            yield (
                f"{counted(self.runs, 'run')} that the grid no longer has {'is' if one else 'are'} "
                f"in the queue, in {jobs}, and {'goes' if one else 'go'} on; `cancel --removed` "
                f"takes {'it' if one else 'them'} out"
            )
        if self.mixed:
            one = self.mixed == 1
            jobs = "1 job holds" if one else f"{self.mixed:,} jobs or elements of arrays hold"
            yield (
                f"{jobs} runs that the grid no longer has beside runs that it has; "
                f"{'it goes' if one else 'they go'} on"
            )


def removed_jobs(plan: Plan, store: Store, study: str, ledger: Ledger, queue: Queue) -> RemovedJobs:
    """Find the live jobs of a study that hold runs that neither it nor another study has."""
    wanted = {run.id for run in plan.runs}
    others: set[str] | None = None  # read only if it is needed
    found = RemovedJobs()
    for submission in ledger.submissions_of(study):
        if not any(line.live for line in lines_of(queue, submission)):
            continue  # its manifest, of 20 MB where it has 40,000 runs, is not read
        packs = ledger.packs(submission)
        if all(run in wanted for pack in packs for run in pack):
            continue
        others = runs_of_other_studies(store, study) if others is None else others
        for index, job in submission.ids():
            line = queue.find(job, submission.name, submission.user)
            runs = packs[index] if index < len(packs) else []
            gone = [run for run in runs if run not in wanted and run not in others]
            if line is None or not line.live or not gone or index in submission.cancelled:
                continue
            if len(gone) == len(runs):
                found.jobs.append((submission, index, line))
                found.runs += len(gone)
            else:
                found.mixed += 1
    return found
