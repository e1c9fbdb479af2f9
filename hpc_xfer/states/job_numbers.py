"""Find the jobs of a submission in the queue, and numbers that sbatch told wrongly."""

from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.store.submission_ledger import Ledger, Submission


def lines_of(queue: Queue, submission: Submission) -> list[QueueLine]:
    """The job, or all elements, of a submission: number, name and user agree.

    A person may submit the batch script once more by hand: that job has our name and user, and is
    not ours. Where no number is known yet, the name alone decides.
    """
    lines = queue.named(submission.name, submission.user)
    return [line for line in lines if submission.job in (None, line.number)]


def wrong_numbers(ledger: Ledger, queue: Queue) -> list[tuple[Submission, str]]:
    """Submissions whose number was never confirmed, with the number under which the queue has them.

    A wrapper of the site may have printed another one. A confirmed number never changes.
    """
    found = []
    for submission in ledger.own():
        if submission.job is None or submission.confirmed or submission.closed is not None:
            continue
        lines = queue.named(submission.name, submission.user)
        numbers = {line.number for line in lines if line.live}
        if numbers and submission.job not in numbers:
            found.append((submission, min(numbers)))
    return found


def unconfirmed_names(ledger: Ledger, queue: Queue) -> dict[str, set[str]]:
    """Names of jobs that the queue shows as sbatch told, by study, if nobody recorded that yet."""
    found: dict[str, set[str]] = {}
    for submission in ledger.own():
        is_open = submission.job is not None and submission.closed is None
        if is_open and not submission.confirmed and lines_of(queue, submission):
            found.setdefault(submission.study, set()).add(submission.name)
    return found
