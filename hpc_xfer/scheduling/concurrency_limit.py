"""How many packs may run at once, over all arrays of a study."""

from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.submission_ledger import Ledger
from hpc_xfer.study.job_arrays import JobArray


class ConcurrencyLimit:
    """`max_running` over all arrays: so many lanes of arrays that run one after another.

    Slurm limits the elements of one array; two arrays side by side would run twice as many.
    Fine-tunings of one parent share a lane, so that none waits for another's parent.
    """

    def __init__(self, launched: LaunchedStudy, ledger: Ledger, queue: Queue) -> None:
        self.most = launched.study.resources.finetune.max_running
        parents = [run.id for run in launched.plan.of("pretrain")]
        self.lanes = min(len(parents), self.most or 0)
        self.number = {run_id: i % self.lanes for i, run_id in enumerate(parents) if self.lanes}
        self.tails: dict[int, str] = {}
        live = {line.job.split("_")[0] for line in queue.lines.values() if line.live}
        for submission in ledger.submissions_of(launched.study.name):
            if submission.lane is not None and submission.job in live:
                self.tails[submission.lane] = submission.job

    def of(self, batch: JobArray) -> int | None:
        return self.number.get(batch.parents[0].id) if batch.parents else None

    def at_once(self, lane: int | None) -> int | None:
        if lane is None or self.most is None:
            return None
        return self.most // self.lanes + (lane < self.most % self.lanes)

    def tail(self, lane: int | None) -> tuple[str, ...]:
        return (self.tails[lane],) if lane in self.tails else ()

    def append(self, lane: int | None, job: str) -> None:
        if lane is not None:
            self.tails[lane] = job
