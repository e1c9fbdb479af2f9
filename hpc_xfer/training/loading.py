"""Batches in the order of the steps, whatever the number of processes that load them."""

import contextlib
import signal
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

from hpc_xfer.errors import DataError

Batch = dict[str, Any]


@dataclass
class Loader:
    """A batch per step, or {"failure": why there is none}."""

    batches: Dataset[Batch]
    steps: range
    workers: int  # processes; 0 loads in this one
    pinned: bool
    waited: float = 0.0  # seconds that batches kept us waiting

    def loaded(self) -> Generator[Batch, None, None]:
        """Closing ends the processes: the iterator that has them is held here alone."""
        loader = DataLoader(
            _Told(self.batches),
            batch_size=None,
            sampler=self.steps,
            num_workers=self.workers,
            pin_memory=self.pinned,
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_leave_signals_to_the_main_process if self.workers else None,
        )
        with _stdin_apart():
            iterator = iter(loader)
        while True:
            begun = time.monotonic()
            batch = next(iterator, None)
            self.waited += time.monotonic() - begun
            if batch is None:
                return
            yield batch


@dataclass
class _Told(Dataset[Batch]):
    """Out of a loader process an exception comes as a traceback, so failures are told as data."""

    batches: Dataset[Batch]

    def __getitem__(self, step: int) -> Batch:
        try:
            return self.batches[step]
        except DataError as error:
            return {"failure": str(error)}


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Slurm signals all processes of a step; one that died of it would fail the run."""
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def _stdin_apart() -> Iterator[None]:
    """A forked process closes its stdin first, and waits for ever if a thread of ours reads it."""
    stdin, sys.stdin = sys.stdin, None
    try:
        yield
    finally:
        sys.stdin = stdin
