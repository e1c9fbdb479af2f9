"""Load batches in the order of the steps, with any number of loading processes."""

import contextlib
import signal
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from hpc_xfer.compute.training.loading import loader_sharing
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.errors import DataError, SharedMemoryFull
from hpc_xfer.study.loader_memory import PREFETCH
from hpc_xfer.system import machine

# Keys of a batch that could not be loaded. Loaders turn exceptions into text, and all ranks have to
# agree on a failure, so it is handed over as data.
FAILED, UNSHARED = "failure", "unshared"
FAILURES = (FAILED, UNSHARED)
_DEATH_SECONDS = 5.0  # in which the system tells of a process whose sockets are closed already


class Batches(Protocol):
    """A source of training batches."""

    def pieces(self, steps: range, worker: int, workers: int) -> Iterator[Batch]:
        """Piece number `worker` of `workers` of each batch: tensors (samples, ...) and lists."""


@dataclass
class BatchLoader:
    """Yield one batch per step, or {FAILED or UNSHARED: reason}.

    Each process loads its own piece of every batch.
    """

    batches: Batches
    steps: range
    workers: int  # loading processes; 0: load in this process
    device: torch.device
    waited: float = 0.0  # seconds that this rank waited for the last batch

    def loaded(self) -> Generator[Batch, None, None]:
        """Yield the batches; closing the generator ends the loading processes."""
        if self.workers:
            loader_sharing.raise_limit_of_open_files()
            machine.shorten_socket_paths()
            try:
                loader_sharing.check_semaphores(self.workers)
            except SharedMemoryFull as error:
                yield {UNSHARED: str(error)}
                return
        loader = DataLoader(
            _LoaderPieces(self.batches, self.steps),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=PREFETCH if self.workers else None,
            worker_init_fn=_ignore_signals if self.workers else None,
        )
        with _stdin_hidden():
            iterator = iter(loader)
        while True:
            begun = time.monotonic()
            # DataLoader takes from its processes in turn, so these are the pieces of one step.
            with _death_as_memory_error() if self.workers else contextlib.nullcontext():
                pieces = [next(iterator, None) for _ in range(max(1, self.workers))]
            if pieces[0] is None:
                return
            batch = _joined([piece for piece in pieces if piece], self.device, self.workers > 0)
            self.waited = time.monotonic() - begun
            yield batch


@contextlib.contextmanager
def _death_as_memory_error() -> Iterator[None]:
    """Raise one kind of error for a killed loading process.

    DataLoader raises several kinds, depending on where it was: at a pipe, at a socket, anywhere.

    Raises:
        MemoryError: a loading process was killed.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
            raise
        if str(error).startswith("Caught "):  # raised inside the process, which is alive
            raise
        if not isinstance(error, RuntimeError):
            _let_torch_tell_it()
        raise MemoryError(
            "a loading process was killed, as the system does when memory runs out; give the run "
            "more memory_per_gpu or fewer workers"
        ) from error


def _let_torch_tell_it() -> None:
    """Wait for torch's handler of a dead loading process: it raises wherever we are at that moment.

    Once per loader; in the middle of our report of the failure it would end this process.
    """
    with contextlib.suppress(RuntimeError):
        time.sleep(_DEATH_SECONDS)  # the handler cuts it short


def _joined(pieces: list[Batch], device: torch.device, copied: bool) -> Batch:
    """Join pieces to a batch on the device; on the host, joining 40 MB takes 10 ms.

    Args:
        copied: out of the memory of loading processes, which will fill it again.
    """
    for piece in pieces:
        if any(key in piece for key in FAILURES):
            return piece
    return {
        name: _join_values([piece[name] for piece in pieces], device, copied) for name in pieces[0]
    }


def _join_values(values: list[Any], device: torch.device, copied: bool) -> Any:
    if not isinstance(values[0], torch.Tensor):
        return [item for value in values for item in value]
    if len(values) == 1:
        return values[0].to(device, non_blocking=True, copy=copied)
    return torch.cat([value.to(device, non_blocking=True) for value in values])


class _LoaderPieces(IterableDataset[Batch]):
    """Iterate over pieces, in a loading process in shared memory; yield a failure as data."""

    def __init__(self, batches: Batches, steps: range) -> None:
        self.batches, self.steps = batches, steps

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        try:
            if info is None:
                yield from self.batches.pieces(self.steps, 0, 1)
                return
            loader_sharing.check_sockets()
            for piece in self.batches.pieces(self.steps, info.id, info.num_workers):
                yield loader_sharing.shared(piece, info.num_workers)
        except DataError as error:
            yield {FAILED: str(error)}
        except SharedMemoryFull as error:
            yield {UNSHARED: str(error)}


def _ignore_signals(worker: int) -> None:
    """Ignore the signals that Slurm sends to all processes; a loader that dies fails the run."""
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def _stdin_hidden() -> Iterator[None]:
    """Hide stdin while forking: a child closes it, and hangs if one of our threads reads it."""
    stdin, sys.stdin = sys.stdin, None
    try:
        yield
    finally:
        sys.stdin = stdin
