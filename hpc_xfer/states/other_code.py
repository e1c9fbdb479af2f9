"""Tell which jobs in the queue run other code than the jobs of a launch of today."""

from collections import Counter
from collections.abc import Iterator

from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.job_numbers import lines_of
from hpc_xfer.store.code_snapshot import current_digest
from hpc_xfer.store.submission_ledger import Ledger


def other_code(ledger: Ledger, study: str, queue: Queue) -> Iterator[str]:
    """Yield a sentence for each other version of the code that jobs in the queue will run."""
    now = current_digest()
    counts: Counter[str] = Counter()
    for submission in ledger.submissions_of(study):
        if submission.code not in (None, now):
            lines = lines_of(queue, submission)
            counts[str(submission.code)] += sum(line.live for line in lines)
    for code, count in sorted(counts.items()):
        if count:
            yield (
                f"{count:,} jobs or elements in the queue keep the code that they were launched "
                f"with ({code}); what is submitted now runs {now}"
            )
