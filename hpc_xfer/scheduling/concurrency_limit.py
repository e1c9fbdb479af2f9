"""`max_running`: limit the packs that run at once, over all arrays of a study."""

from dataclasses import replace

from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.request import Request
from hpc_xfer.states.job_numbers import lines_of
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.submission_ledger import Ledger
from hpc_xfer.study.job_arrays import JobArray


class ConcurrencyLimit:
    """Sorts arrays into lanes; the arrays of a lane run one after another.

    Slurm limits the elements of one array; two arrays side by side would run twice as many.
    Fine-tunings of one parent share a lane, so that none waits for another's parent.
    """

    def __init__(self, launched: LaunchedStudy, ledger: Ledger, queue: Queue) -> None:
        self.most = launched.study.resources.finetune.max_running
        parents = [run.id for run in launched.plan.of("pretrain")]
        self.lanes = min(len(parents), self.most or 0)
        self.by_parent = {run_id: i % self.lanes for i, run_id in enumerate(parents) if self.lanes}
        self.last_jobs: dict[int, str] = {}  # of each lane
        for submission in ledger.submissions_of(launched.study.name):
            lines = lines_of(queue, submission)
            is_live = any(line.live and line.cluster == queue.cluster for line in lines)
            if submission.lane is not None and submission.job is not None and is_live:
                self.last_jobs[submission.lane] = submission.job

    def lane_of(self, array: JobArray) -> int | None:
        return self.by_parent.get(array.parents[0].id) if array.kind == "finetune" else None

    def limited(self, request: Request, array: JobArray) -> Request:
        """The request with its share of `max_running`, behind the last array of its lane."""
        lane = self.lane_of(array)
        if lane is None or self.most is None:
            return request
        share = self.most // self.lanes + (lane < self.most % self.lanes)
        last = (self.last_jobs[lane],) if lane in self.last_jobs else ()
        return replace(request, at_once=share, after_any=last)

    def append(self, array: JobArray, job: str) -> None:
        """Put a submitted array at the end of its lane."""
        if (lane := self.lane_of(array)) is not None:
            self.last_jobs[lane] = job
