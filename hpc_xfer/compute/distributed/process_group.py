"""Join and leave the process group of a run, and exchange small values between its ranks.

Rank 0 writes its address, a free port and a secret into a private file of the run. So no port has
to be fixed, and no host name has to resolve.

Others on the network may connect, too. Nothing is exchanged with anybody before both sides have
proven the secret (handshake.py, gate.py). torch's own store asks nobody, so it is used only when
all ranks are in: then it stops listening, connections of others are cut off, and its keys get a
prefix that is told behind the gate. After that each rank proves itself over each link of gloo.

What remains: gloo and NCCL encrypt nothing and ask nobody. Who can change packets on the network
can read and change tensors; who can reach a port can hinder a start. Neither can run code: between
ranks there are tensors and JSON, no pickles.
"""

import contextlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, TCPStore

from hpc_xfer.compute.distributed import (
    device,
    exchange,
    gate,
    guest,
    handshake,
    network_interface,
    own_sockets,
    rendezvous_file,
    roll_call,
)
from hpc_xfer.compute.distributed.handshake import NotProven
from hpc_xfer.compute.distributed.rendezvous_file import (
    SECRET_BYTES,
    CalledOff,
    Invitation,
    InvitationReader,
    invite,
)
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.errors import (
    AgreedDataError,
    Diverged,
    Interrupted,
    SharedMemoryFull,
    StoreError,
)

log = logging.getLogger(__name__)
Item = TypeVar("Item")
_MEET_SECONDS = 300  # nodes of one job may start minutes apart
# Until a rank gives up waiting for the others. No rank waits for a file to be written, and what may
# take longer (reading a checkpoint, a probe, compiling) takes about as long on each of them.
TIMEOUT = timedelta(minutes=10)
_NAMED = 3  # missing ranks in a message
# Raised at the same point on each.
_ON_ALL_RANKS = (Interrupted, Diverged, AgreedDataError, SharedMemoryFull)


@dataclass(frozen=True)
class Meeting:
    """The store that all ranks share, and what only they know."""

    store: TCPStore
    secret: bytes
    prefix: bytes  # of the keys


@dataclass(frozen=True)
class World:
    """The place of this process among the ranks that train one model."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    nodes: tuple[str, ...] = ()  # of all ranks; empty for one process

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
        """The lists of all ranks, concatenated in the order of ranks.

        Items are values of JSON, so tuples come as lists. Nothing is unpickled: a pickle is code.
        """
        if self.size == 1:
            return value
        return exchange.gather_json(value, self.size)

    def gather_rows(self, value: Tensor) -> Tensor:
        """The rows of all ranks, (n, ...) on the CPU, in the order of ranks; n may differ."""
        return value if self.size == 1 else exchange.gather_rows(value, self.size)


@contextlib.contextmanager
def join(
    rank: int,
    size: int,
    local_rank: int,
    meeting: Path | None,
    stop: StopSignal,
    timeout: timedelta = TIMEOUT,
) -> Iterator[World]:
    """Join the process group of a run, and leave it at the end. One process needs no group.

    After an error on this rank alone, the group is left open and the process must end (`is_open`).
    NCCL cannot destroy it: that waits for kernels, which wait for other ranks, which wait for us.

    Args:
        meeting: file for the address of rank 0; needed for more than one process.
        timeout: until this rank gives up waiting for the others in the middle of a step.

    Raises:
        Interrupted: rank 0 has nothing to do, or this process was asked to stop while waiting.
        StoreError: rank 0 did not write its address in time.
        GpuMissing: a rank was given a GPU that torch cannot use, or devices do not fit together.
    """
    if size == 1:
        yield World(device=device.of_rank(local_rank))
        return
    assert meeting is not None, "several processes need a file to meet"
    network_interface.set_interfaces()
    met = (
        _serve(meeting, size, stop, timeout)
        if rank == 0
        else _connect(meeting, rank, size, stop, timeout)
    )
    store = PrefixStore(met.prefix.hex(), met.store)
    own, nodes = roll_call.answer(store, rank, size, local_rank)
    backend = "cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    _prove_links(met, rank, size)
    try:
        yield World(rank, size, own, nodes)
    except _ON_ALL_RANKS:
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()


def is_open() -> bool:
    """True in a process group; after `join`, only if an error has left it open."""
    return dist.is_available() and dist.is_initialized()


def _serve(meeting: Path, size: int, stop: StopSignal, timeout: timedelta) -> Meeting:
    """Start the store of rank 0, and let the other ranks in.

    Raises:
        Interrupted: this process was asked to stop while waiting.
        DistStoreError: ranks are missing after the time limit.
    """
    meeting.unlink(missing_ok=True)
    host, secret = network_interface.own_address(), secrets.token_bytes(SECRET_BYTES)
    listener = gate.listening(host)
    port = listener.getsockname()[1]
    handle = listener.detach()  # the store closes it
    store = TCPStore(
        host, port, size, True, timeout, wait_for_workers=False, master_listen_fd=handle
    )
    seconds = max(timeout.total_seconds(), _MEET_SECONDS)
    with gate.Gate(host, size, secret, port) as entrance:
        try:
            invite(meeting, Invitation(host, entrance.port, secret))
            members = entrance.wait(stop, seconds)
            if len(members) < size - 1:
                _give_up(meeting, set(range(1, size)) - set(members), stop, seconds)
        finally:
            meeting.unlink(missing_ok=True)
        _close(handle)
        own = own_sockets.connected_to((host, port))
        if strangers := own_sockets.cut_off((host, port), {*members.values(), *own}):
            log.warning("%s:%d: %d strangers were connected and are cut off", host, port, strangers)
        prefix = secrets.token_bytes(handshake.PREFIX_BYTES)
        entrance.start(prefix)
    return Meeting(store, secret, prefix)


def _close(handle: int) -> None:
    """Close a listening socket that the store watches: what takes its number says nothing."""
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, handle, inheritable=False)
    os.close(nothing)


def _give_up(meeting: Path, missing: set[int], stop: StopSignal, seconds: float) -> NoReturn:
    if stop.wait(0):
        call_off(meeting, 2)
        raise Interrupted("asked to stop while waiting for the other ranks")
    ranks = ", ".join(map(str, sorted(missing)[:_NAMED]))
    raise dist.DistStoreError(
        f"{meeting}: {len(missing)} ranks did not come within {seconds:.0f} s, the first {ranks}; "
        "see their logs"
    )


def call_off(meeting: Path, size: int) -> None:
    """Tell the other ranks that rank 0 has nothing to do: the run is done or claimed by another."""
    if size > 1:
        rendezvous_file.call_off(meeting)


def _connect(meeting: Path, rank: int, size: int, stop: StopSignal, timeout: timedelta) -> Meeting:
    """Connect to rank 0. If nobody answers who knows the secret, read the file again."""
    end, pause = time.monotonic() + _MEET_SECONDS, 0.01
    file = InvitationReader(meeting)
    while time.monotonic() < end:
        found = file.read()
        if isinstance(found, CalledOff):
            raise Interrupted("rank 0 has nothing to do")
        if found is not None:
            with contextlib.suppress(OSError, NotProven, dist.DistNetworkError):
                store, prefix = guest.enter(found, rank, size, stop, timeout)
                return Meeting(store, found.secret, prefix)
        if stop.wait(pause):  # both sides know only the file, which gives no event to wait for
            raise Interrupted("asked to stop while waiting for rank 0")
        pause = min(2 * pause, 0.1)
    seen = f" (a file there {', '.join(sorted(file.refused))})" if file.refused else ""
    raise StoreError(
        f"{meeting}: rank 0 did not write its address within {_MEET_SECONDS} s{seen}; see its log"
    )


def _prove_links(met: Meeting, rank: int, size: int) -> None:
    """Check over gloo that each rank is at the other end of its link: gloo itself asks nobody.

    Raises:
        DistBackendError: somebody else is.
    """
    mine = [handshake.link_proof(met.secret, met.prefix, rank, to) for to in range(size)]
    expected = [handshake.link_proof(met.secret, met.prefix, each, rank) for each in range(size)]
    sent = torch.frombuffer(bytearray(b"".join(mine)), dtype=torch.uint8)
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)
    if not hmac.compare_digest(received.numpy().tobytes(), b"".join(expected)):
        raise dist.DistBackendError(
            f"rank {rank}: another process took the place of a rank; launch again"
        )
