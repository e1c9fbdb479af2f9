"""Count the failures of a GPU that ended workers: a broken one must not burn through a pack."""

import time

from hpc_xfer.execution.worker_process import WorkerProcess

_MOST_FAILURES = 2  # one may be chance


class GpuFailures:
    """Failures of a GPU, or none at all, that ended workers."""

    def __init__(self) -> None:
        self.classes: list[str] = []  # of the failures
        self._last = float("-inf")  # time

    def note(self, worker: WorkerProcess) -> None:
        """Count a worker that has ended; one that ended for another reason does not count.

        Nor does one that was there at the last failure: it ends all processes that share a GPU.
        """
        if worker.is_spent and worker.failures and worker.began > self._last:
            self.classes.append(worker.failures[-1].failure)
            self._last = time.monotonic()

    @property
    def is_broken(self) -> bool:
        """Tell whether no more work is to be given to this GPU."""
        return "no gpu" in self.classes or self.classes.count("gpu") >= _MOST_FAILURES
