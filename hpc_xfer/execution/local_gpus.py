"""Share the GPUs of this machine among workers, and leave out those that are broken."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hpc_xfer.execution.gpu_failures import GpuFailures
from hpc_xfer.execution.worker_process import WorkerProcess


class LocalGpus:
    """GPUs that this launch may use, and the processes on each."""

    def __init__(self, gpus: Sequence[str]) -> None:
        self._processes = Counter(dict.fromkeys(gpus, 0))
        self._spent = {gpu: GpuFailures() for gpu in gpus}
        self._unnamed = GpuFailures()  # where HPC_XFER_DEVICE is cuda and no GPU is found here

    def __len__(self) -> int:
        """Count those that are not broken."""
        return len(self._processes)

    @property
    def all_are_lost(self) -> bool:
        """Tell whether each GPU is broken: no run goes on on the CPU instead."""
        return self._unnamed.is_broken or (bool(self._spent) and not self._processes)

    def take(self, gpus: Sequence[str]) -> None:
        """Note a new process on each of these."""
        self._processes.update(gpus)

    def give_back(self, gpus: Sequence[str]) -> None:
        """Note that a process on each of these has ended."""
        self._processes.subtract([gpu for gpu in gpus if gpu in self._processes])

    def least_used(self, number: int) -> list[str]:
        return sorted(self._processes, key=lambda gpu: self._processes[gpu])[:number]

    def least_loaded(self, loads: Iterable[tuple[Sequence[str], int]]) -> tuple[str, int] | None:
        """Return the GPU with the least work and its work, given the work on each of some GPUs."""
        work = Counter(dict.fromkeys(self._processes, 0))
        for gpus, load in loads:
            work.update({gpu: load for gpu in gpus if gpu in work})
        return min(work.items(), key=lambda item: item[1], default=None)

    def drop_if_broken(self, gpus: Sequence[str], worker: WorkerProcess) -> str | None:
        """Leave out the GPU of a worker that has ended, if it spent too many; return its name.

        Of the GPUs of a group nobody knows which one failed.
        """
        if not gpus:
            self._unnamed.note(worker)
        if len(gpus) != 1 or gpus[0] not in self._processes:
            return None
        [gpu] = gpus
        self._spent[gpu].note(worker)
        if not self._spent[gpu].is_broken:
            return None
        del self._processes[gpu]
        return gpu
