"""Compare the devices of all ranks before they form a group: one that differs would hang it."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

import torch
from torch._C._distributed_c10d import Store

from hpc_xfer.compute.distributed import device
from hpc_xfer.errors import GpuMissing
from hpc_xfer.system.job_environment import node_name

_READ = timedelta(seconds=30)  # for the other ranks to read why rank 0 ends
_NAMED = 3  # ranks in a message


@dataclass(frozen=True)
class RankDevice:
    """The device of one rank."""

    rank: int
    node: str
    type: str  # "cuda" or "cpu"; "" where a GPU was given that torch cannot use
    gpu: str | None = None  # its name that no other has
    error: str = ""

    @property
    def place(self) -> str:
        return f"rank {self.rank} on {self.node}"


def answer(
    store: Store, rank: int, size: int, local_rank: int
) -> tuple[torch.device, tuple[str, ...]]:
    """Return the device of this rank, and the nodes of all ranks, once all have told theirs.

    Raises:
        GpuMissing: on all ranks, where one lacks its GPU, or their devices do not fit together.
    """
    own: torch.device | None = None
    try:
        own = device.of_rank(local_rank)
        said = RankDevice(rank, node_name(), own.type, device.identity(own))
    except GpuMissing as error:
        said = RankDevice(rank, node_name(), "", error=str(error))
    store.set(_key("device", rank), json.dumps(asdict(said)))
    told = [json.loads(store.get(_key("device", each))) for each in range(size)]  # waits for each
    ranks = [RankDevice(**each) for each in told]
    store.set(_key("read", rank), "1")
    if (reason := disagreement(ranks)) is not None:
        if rank == 0:  # the store ends with it
            with contextlib.suppress(RuntimeError):
                store.wait([_key("read", each) for each in range(size)], _READ)
        raise reason
    assert own is not None
    return own, tuple(each.node for each in ranks)


def disagreement(ranks: Sequence[RankDevice]) -> GpuMissing | None:
    """Return why these ranks cannot train together; None where they can."""
    if without := [each for each in ranks if each.error]:
        return GpuMissing(f"{_named(without)}: {without[0].error}", without[0].node)
    on_cpu = [each for each in ranks if each.type == "cpu"]
    if 0 < len(on_cpu) < len(ranks):
        others = [each for each in ranks if each.type != "cpu"]
        return GpuMissing(
            f"{_named(on_cpu)}: on the CPU, but {_named(others)} on a GPU; set HPC_XFER_DEVICE to "
            "the same on all nodes, or unset it",
            on_cpu[0].node,
        )
    first: dict[tuple[str, str], RankDevice] = {}
    for each in ranks:
        if each.gpu is None:
            continue
        other = first.setdefault((each.node, each.gpu), each)
        if other is not each:
            return GpuMissing(
                f"{_named([other, each])}: both see one GPU ({each.gpu}); give each rank its own "
                "(gpus_per_node in the site file), or look with nvidia-smi whether one is lost",
                each.node,
            )
    return None


def _named(ranks: Sequence[RankDevice]) -> str:
    names = ", ".join(each.place for each in ranks[:_NAMED])
    more = len(ranks) - _NAMED
    return f"{names} and {more} more" if more > 0 else names


def _key(kind: str, rank: int) -> str:
    return f"{kind}/{rank}"
