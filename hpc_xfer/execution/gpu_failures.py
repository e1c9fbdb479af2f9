"""Count the workers that a GPU has spent: a broken one must not burn through a whole pack."""

from hpc_xfer.execution.worker_process import WorkerProcess

_MOST_SPENT = 2  # workers; one failure may be chance


class GpuFailures:
    """Workers that ended because of the GPU that they were given."""

    def __init__(self) -> None:
        self._classes: list[str] = []

    def note(self, worker: WorkerProcess) -> None:
        """Count a worker that has ended; one that ended for another reason does not count."""
        if worker.is_spent and worker.failures:
            self._classes.append(worker.failures[-1].failure)

    @property
    def is_broken(self) -> bool:
        """Tell whether no more work is to be given to this GPU."""
        return "no gpu" in self._classes or self._classes.count("gpu") >= _MOST_SPENT
