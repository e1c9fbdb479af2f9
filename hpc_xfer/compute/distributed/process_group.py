"""One process or many: who we are, how we met, and what all ranks agree on.

Rank 0 publishes its own address and a free port in a file of the run; nobody relies on a fixed port
or on names that resolve.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import TCPStore

from hpc_xfer.compute.distributed import network_interface
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.errors import AgreedDataError, Diverged, Interrupted, StoreError
from hpc_xfer.system import atomic_files

Item = TypeVar("Item")
_MEET_SECONDS = 300  # nodes of one job may start minutes apart
_CONNECT = timedelta(seconds=10)  # to an address; the file may tell another by then
_TIMEOUT = timedelta(minutes=30)  # a checkpoint of the largest model to a slow disk
_OF_ALL_RANKS = (Interrupted, Diverged, AgreedDataError)  # raised at the same point on each


@dataclass(frozen=True)
class World:
    """This process among those that train one model together."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_rank_zero(self) -> bool:
        """Rank 0 alone writes files."""
        return self.rank == 0

    def most(self, *values: float) -> list[float]:
        """Per value, the largest of all ranks; of a flag, whether any of them raised it."""
        if self.size == 1:
            return list(values)
        votes = torch.tensor(values, dtype=torch.float64)  # on the CPU: waits for no GPU
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        largest: list[float] = votes.tolist()
        return largest

    def mean(self, value: Tensor) -> Tensor:
        """The mean over ranks of a detached scalar."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def gather(self, value: list[Item]) -> list[Item]:
        """All ranks' lists, one after another."""
        if self.size == 1:
            return value
        lists: list[list[Item]] = [[] for _ in range(self.size)]
        dist.all_gather_object(lists, value)
        return [item for part in lists for item in part]


@contextlib.contextmanager
def join(
    rank: int, size: int, local_rank: int, meeting: Path | None, stop: StopSignal
) -> Iterator[World]:
    """Enter the process group (none for one process) and leave it again.

    After an error of this rank alone the group stays as it is: before NCCL destroys one, it waits
    for kernels that wait for the other ranks, and those for us. The process must end (`is_open`).

    Args:
        meeting: file in which rank 0 publishes its address; needed for more than one process.

    Raises:
        Interrupted: rank 0 called the meeting off, or we were asked to stop while waiting.
        StoreError: rank 0 did not appear.
    """
    device = _device(local_rank)
    if size == 1:
        yield World(device=device)
        return
    assert meeting is not None, "several processes need a place to meet"
    network_interface.set_gloo_interface()
    store = _host(meeting, size) if rank == 0 else _guest(meeting, size, stop)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield World(rank, size, device)
    except _OF_ALL_RANKS:
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()
    finally:
        if rank == 0:
            meeting.unlink(missing_ok=True)


def is_open() -> bool:
    """Whether this process is in a group: once `join` has ended, one that an error left open."""
    return dist.is_available() and dist.is_initialized()


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Slurm may show each task its own GPU alone, which then is number 0 for every rank.
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def _host(meeting: Path, size: int) -> TCPStore:
    meeting.unlink(missing_ok=True)
    address = network_interface.own_address()
    store = TCPStore(address, 0, size, is_master=True, wait_for_workers=False, timeout=_TIMEOUT)
    atomic_files.write_json(meeting, {"host": address, "port": store.port})
    return store


def call_off(meeting: Path, size: int) -> None:
    """Rank 0 has nothing to do (the run is done, or another works on it): send the others home."""
    if size > 1:
        atomic_files.write_json(meeting, {"off": True})


def _guest(meeting: Path, size: int, stop: StopSignal) -> TCPStore:
    """An address at which nobody answers is of an earlier start; the file is read again."""
    end = time.monotonic() + _MEET_SECONDS
    while time.monotonic() < end:
        if stop.requested:
            raise Interrupted("asked to stop before rank 0 appeared")
        place = atomic_files.read_json(meeting)
        if place is not None and "off" in place:
            raise Interrupted("rank 0 has nothing to do")
        if place is not None:
            with contextlib.suppress(dist.DistNetworkError):
                host, port = place["host"], place["port"]
                store = TCPStore(host, port, size, is_master=False, timeout=_CONNECT)
                store.set_timeout(_TIMEOUT)
                return store
        time.sleep(0.1)  # a file is the only thing both sides know of; it has no event to wait on
    raise StoreError(f"{meeting}: rank 0 did not appear in {_MEET_SECONDS} s; see its log")
