"""Join and leave the process group of a run, and exchange small values between its ranks.

Rank 0 writes its address and a free port into a file of the run. So no port has to be fixed, and no
host name has to resolve.
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
from hpc_xfer.errors import AgreedDataError, Diverged, Interrupted, SharedMemoryFull, StoreError
from hpc_xfer.system import atomic_files

Item = TypeVar("Item")
_MEET_SECONDS = 300  # nodes of one job may start minutes apart
_CONNECT = timedelta(seconds=10)  # then the file is read again: it may have a new address
_TIMEOUT = timedelta(minutes=30)  # for the largest checkpoint to be written to a slow disk
# Raised at the same point on each.
_ON_ALL_RANKS = (Interrupted, Diverged, AgreedDataError, SharedMemoryFull)


@dataclass(frozen=True)
class World:
    """The place of this process among the ranks that train one model."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_rank_zero(self) -> bool:
        """True on rank 0, the only rank that writes files."""
        return self.rank == 0

    def max(self, *values: float) -> list[float]:
        """The maximum of each value over all ranks; of a flag, 1 if any rank has set it."""
        if self.size == 1:
            return list(values)
        votes = torch.tensor(
            values, dtype=torch.float64
        )  # on the CPU, so that no GPU is waited for
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        largest: list[float] = votes.tolist()
        return largest

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a detached scalar over all ranks."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def gather(self, value: list[Item]) -> list[Item]:
        """The lists of all ranks, concatenated in the order of ranks."""
        if self.size == 1:
            return value
        lists: list[list[Item]] = [[] for _ in range(self.size)]
        dist.all_gather_object(lists, value)
        return [item for part in lists for item in part]


@contextlib.contextmanager
def join(
    rank: int, size: int, local_rank: int, meeting: Path | None, stop: StopSignal
) -> Iterator[World]:
    """Join the process group of a run, and leave it at the end. One process needs no group.

    After an error on this rank alone, the group is left open and the process must end (`is_open`).
    NCCL cannot destroy it: that waits for kernels, which wait for other ranks, which wait for us.

    Args:
        meeting: file for the address of rank 0; needed for more than one process.

    Raises:
        Interrupted: rank 0 has nothing to do, or this process was asked to stop while waiting.
        StoreError: rank 0 did not write its address in time.
    """
    device = _device(local_rank)
    if size == 1:
        yield World(device=device)
        return
    assert meeting is not None, "several processes need a file to meet"
    network_interface.set_gloo_interface()
    store = _serve(meeting, size) if rank == 0 else _connect(meeting, size, stop)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield World(rank, size, device)
    except _ON_ALL_RANKS:
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()
    finally:
        if rank == 0:
            meeting.unlink(missing_ok=True)


def is_open() -> bool:
    """True in a process group; after `join`, only if an error has left it open."""
    return dist.is_available() and dist.is_initialized()


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Slurm may show each task only its own GPU, which is then number 0 on every rank.
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def _serve(meeting: Path, size: int) -> TCPStore:
    """Start the store of rank 0 and write its address."""
    meeting.unlink(missing_ok=True)
    address = network_interface.own_address()
    store = TCPStore(address, 0, size, is_master=True, wait_for_workers=False, timeout=_TIMEOUT)
    atomic_files.write_json(meeting, {"host": address, "port": store.port})
    return store


def call_off(meeting: Path, size: int) -> None:
    """Tell the other ranks that rank 0 has nothing to do: the run is done or claimed by another."""
    if size > 1:
        atomic_files.write_json(meeting, {"off": True})


def _connect(meeting: Path, size: int, stop: StopSignal) -> TCPStore:
    """Connect to rank 0. If nobody answers, the address is an old one; read the file again."""
    end = time.monotonic() + _MEET_SECONDS
    while time.monotonic() < end:
        if stop.requested:
            raise Interrupted("asked to stop while waiting for rank 0")
        address = atomic_files.read_json(meeting)
        if address is not None and "off" in address:
            raise Interrupted("rank 0 has nothing to do")
        if address is not None:
            with contextlib.suppress(dist.DistNetworkError):
                host, port = address["host"], address["port"]
                store = TCPStore(host, port, size, is_master=False, timeout=_CONNECT)
                store.set_timeout(_TIMEOUT)
                return store
        time.sleep(0.1)  # both sides know only the file, which gives no event to wait for
    raise StoreError(
        f"{meeting}: rank 0 did not write its address within {_MEET_SECONDS} s; see its log"
    )
