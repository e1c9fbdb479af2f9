"""Batches in the order of the steps, whatever the number of processes that load them."""

import contextlib
import signal
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.errors import DataError
from hpc_xfer.system import machine


class Batches(Protocol):
    """What can be trained on."""

    def pieces(self, steps: range, worker: int, workers: int) -> Iterator[Batch]:
        """One of `workers` pieces of each step's batch: tensors with samples first, and lists."""


@dataclass
class BatchLoader:
    """A batch per step, or {"failure": why there is none}.

    Each process loads its piece of every batch, always the same one.
    """

    batches: Batches
    steps: range
    workers: int  # processes; 0 loads in this one
    device: torch.device
    waited: float = 0.0  # seconds that the last batch kept this rank waiting

    def loaded(self) -> Generator[Batch, None, None]:
        """Closing ends the processes: the iterator that has them is held here alone."""
        loader = DataLoader(
            _LoaderPieces(self.batches, self.steps),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if self.workers else None,
            worker_init_fn=_leave_signals_to_the_main_process if self.workers else None,
        )
        if self.workers:
            machine.shorten_socket_paths()
        with _stdin_apart():
            iterator = iter(loader)
        while True:
            begun = time.monotonic()
            # DataLoader asks its processes in turn, so these are the pieces of one step.
            with _death_told() if self.workers else contextlib.nullcontext():
                pieces = [next(iterator, None) for _ in range(max(1, self.workers))]
            if pieces[0] is None:
                return
            batch = _joined([piece for piece in pieces if piece], self.device)
            self.waited = time.monotonic() - begun
            yield batch


@contextlib.contextmanager
def _death_told() -> Iterator[None]:
    """What DataLoader says of it depends on where it was: at a pipe, at a socket, anywhere.

    Raises:
        MemoryError: a loading process is gone.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        if str(error).startswith("Caught "):  # raised in the process, which lives
            raise
        raise MemoryError(
            "a loading process was killed, as the system does when memory runs out; give the run "
            "more memory_per_gpu or fewer workers"
        ) from error


def _joined(pieces: list[Batch], device: torch.device) -> Batch:
    """The batch of its pieces, on the device: there joining costs nothing, here 10 ms for 40 MB."""
    for piece in pieces:
        if "failure" in piece:
            return piece
    return {name: _together([piece[name] for piece in pieces], device) for name in pieces[0]}


def _together(values: list[Any], device: torch.device) -> Any:
    if not isinstance(values[0], torch.Tensor):
        return [item for value in values for item in value]
    there = [value.to(device, non_blocking=True) for value in values]
    return there[0] if len(there) == 1 else torch.cat(there)


class _LoaderPieces(IterableDataset[Batch]):
    """Out of a loader process an exception comes as a traceback, so failures are told as data."""

    def __init__(self, batches: Batches, steps: range) -> None:
        self.batches, self.steps = batches, steps

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        try:
            yield from self.batches.pieces(self.steps, worker, workers)
        except DataError as error:
            yield {"failure": str(error)}


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
