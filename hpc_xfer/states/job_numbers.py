"""Find jobs that the queue shows under another number than sbatch told."""

from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.store.submission_ledger import Ledger, Submission


def wrong_numbers(ledger: Ledger, queue: Queue) -> list[tuple[Submission, str]]:
    """Submissions whose name is in the queue under another number only, with that number."""
    found = []
    for submission in ledger.own():
        lines = queue.named(submission.name, submission.user) if submission.job else []
        numbers = {line.job.split("_")[0] for line in lines if line.live}
        if numbers and submission.job not in numbers and submission.closed is None:
            found.append((submission, min(numbers)))
    return found
