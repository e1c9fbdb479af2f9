"""A gather over ranks passes to each rank the gradient of its own rows, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.collectives import gather
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from tests import tiny

RANKS, ROWS = 3, 2


def rows(rank: int) -> Tensor:
    return torch.randn(ROWS, 4, 5, generator=torch.Generator().manual_seed(rank)).transpose(1, 2)


def weights(rank: int) -> Tensor:
    """Weights of all rows in the loss of a rank."""
    return torch.randn(RANKS * ROWS, 5, 4, generator=torch.Generator().manual_seed(10 + rank))


def gathering_rank(number: int, size: int, folder: Path) -> None:
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        own = rows(number).requires_grad_()
        whole = gather(own, world)
        (whole * weights(number)).sum().backward()
        torch.save({"whole": whole.detach(), "gradient": own.grad}, folder / f"{number}.pt")


def test_each_rank_gets_the_sum_of_the_gradients_of_its_rows(tmp_path: Path) -> None:
    """Bit for bit as one process adds them in the order of the ranks, so a resumed run too."""
    processes = [tiny.child(gathering_rank, i, RANKS, tmp_path) for i in range(RANKS)]
    assert tiny.join(processes) == [0] * RANKS
    total = (weights(0) + weights(1)) + weights(2)
    for number in range(RANKS):
        found = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        assert torch.equal(found["whole"], torch.cat([rows(i) for i in range(RANKS)]))
        assert torch.equal(found["gradient"], total[number * ROWS : (number + 1) * ROWS])


def test_on_gpus_the_shapes_are_the_same() -> None:
    """On fake tensors and a process group that moves nothing: no GPU is needed."""
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=RANKS)
    try:
        with FakeTensorMode():
            own = torch.empty(ROWS, 5, 4, device="cuda", requires_grad=True)
            whole = gather(own, World(1, RANKS, torch.device("cuda")))
            node: Any = whole.grad_fn  # torch's engine would look for the device
            gradient, _ = node.apply(torch.ones_like(whole))
            assert whole.shape == (RANKS * ROWS, 5, 4) and gradient.shape == own.shape
            assert whole.device.type == gradient.device.type == "cuda"
    finally:
        dist.destroy_process_group()


def nccl_rank(number: int, size: int, folder: Path) -> None:
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        own = rows(number).to(world.device).requires_grad_()
        whole = gather(own, world)
        (whole * weights(number)[: size * ROWS].to(world.device)).sum().backward()
        assert own.grad is not None
        torch.save({"gradient": own.grad.cpu()}, folder / f"{number}.pt")


@pytest.mark.gpu
def test_on_two_gpus_each_rank_gets_the_sum_of_the_gradients_of_its_rows(tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    assert tiny.join([tiny.child(nccl_rank, i, 2, tmp_path) for i in range(2)]) == [0, 0]
    total = weights(0) + weights(1)
    for number in range(2):
        found = torch.load(tmp_path / f"{number}.pt", weights_only=True)
        assert torch.equal(found["gradient"], total[number * ROWS : (number + 1) * ROWS])
