"""Batch norm over ranks gives what one process gives on the whole batch, on the CPU and the GPU.

Without a GPU the path of the GPU runs too: with the formulas of its kernels, and on fake tensors.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.global_batchnorm import (
    GlobalBatchNorm,
    preserve_statistics,
    recalibrate,
    synchronize,
)
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from tests import gpu_waits, norm_kernels_on_cpu, tiny

Found = dict[str, Tensor]
BATCH, CHANNELS = 8, 6


@dataclass(frozen=True)
class Case:
    """A norm and its input; `shape` is that of one sample without its channels."""

    shape: tuple[int, ...] = (5, 3)
    dtype: torch.dtype = torch.float64
    last: bool = False  # channels last in memory
    affine: bool = True
    tracked: bool = True
    momentum: float | None = 0.1
    frozen: bool = False  # weight and bias need no gradient
    reads: bool = True  # the input needs a gradient

    def norm(self) -> nn.modules.batchnorm._BatchNorm:
        """Make the norm with weights that are not one and zero."""
        made = self.fresh()
        generator = torch.Generator().manual_seed(3)
        for parameter in made.parameters():
            parameter.data.copy_(torch.rand(CHANNELS, generator=generator) + 0.5)
        return made

    def fresh(self) -> nn.modules.batchnorm._BatchNorm:
        kinds = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
        made: nn.modules.batchnorm._BatchNorm = kinds[len(self.shape)](
            CHANNELS,
            momentum=self.momentum,
            affine=self.affine,
            track_running_stats=self.tracked,
            dtype=torch.float64 if self.dtype == torch.float64 else torch.float32,
        )
        for parameter in made.parameters():
            parameter.requires_grad_(not self.frozen)
        return made

    def whole(self, seed: int) -> Tensor:
        """Make a global batch; the channels differ in mean and spread."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(BATCH, CHANNELS, *self.shape, generator=generator, dtype=torch.float64)
        spread = torch.arange(1, CHANNELS + 1).view(1, -1, *[1] * len(self.shape))
        x = (x * spread + spread - 3).to(self.dtype)
        formats = {2: torch.channels_last, 3: torch.channels_last_3d}
        if self.last:
            return x.contiguous(memory_format=formats[len(self.shape)])
        return x


CASES = [
    Case(),
    Case(last=True),
    Case(shape=()),  # BatchNorm1d on features
    Case(shape=(7,)),
    Case(shape=(2, 3, 2), last=True),
    Case(shape=(1, 1), last=True),
    Case(affine=False),
    Case(tracked=False),
    Case(momentum=None),
    Case(momentum=0.0),
    Case(frozen=True),
    Case(frozen=True, reads=False),
    Case(dtype=torch.float32, last=True),
    Case(dtype=torch.bfloat16, last=True),
    Case(dtype=torch.bfloat16, tracked=False),
    Case(dtype=torch.float16, affine=False),
]
# Half precision rounds outputs and gradients to 8 or 11 bits, on one process as on many.
LIMITS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def two_steps(case: Case, norm: nn.Module, mine: slice, device: str = "cpu") -> Found:
    """Forward and backward twice; return the last output, all gradients and all buffers."""
    norm = norm.to(device)
    for seed in (0, 1):
        whole, weights = case.whole(seed), case.whole(seed + 10)
        x = whole[mine].to(device).detach().requires_grad_(case.reads)
        out = norm(x)
        if out.requires_grad:
            out.backward(weights[mine].to(device))
    named = {f"of {name}": p.grad for name, p in norm.named_parameters()} | {"of input": x.grad}
    found = {name: value.cpu() for name, value in named.items() if value is not None}
    buffers = {name: value.cpu() for name, value in norm.named_buffers()}
    return {"out": out.detach().cpu(), **found, **buffers}


def share_of(rank: int, size: int) -> slice:
    return slice(rank * BATCH // size, (rank + 1) * BATCH // size)


def rank(way: str, number: int, size: int, folder: Path) -> None:
    """Two steps of each case on this rank's part of the batch."""
    ours = norm_kernels_on_cpu.kernels("CPU") if way == "kernels" else contextlib.nullcontext()
    with (
        ours,
        process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world,
    ):
        each = []
        for case in CASES:
            norm = synchronize(case.norm(), world)
            assert isinstance(norm, GlobalBatchNorm)
            each.append(two_steps(case, norm, share_of(number, size)))
        torch.save(each, folder / f"{number}.pt")


def assert_same(case: Case, expected: Found, ranks: list[Found], limit: float) -> None:
    """Outputs one after another, gradients of weights summed, buffers on each rank."""
    for found in ranks:
        assert found.keys() == expected.keys()
    for name, value in expected.items():
        each = [found[name] for found in ranks]
        if name in ("out", "of input"):
            each = [torch.cat(each)]
        elif name.startswith("of "):
            each = [torch.stack(each).sum(0)]
        scale = float(value.double().abs().max()) or 1.0
        for got in each:
            assert got.dtype == value.dtype, (case, name)
            assert float((got.double() - value.double()).abs().max()) < limit * scale, (case, name)


@pytest.mark.parametrize("way", ["formula", "kernels"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_give_what_one_process_gives(ranks: int, way: str, tmp_path: Path) -> None:
    """Outputs, gradients and running statistics, whatever the layout, precision and settings."""
    arguments = [(way, number, ranks, tmp_path) for number in range(ranks)]
    assert tiny.join([tiny.child(rank, *each) for each in arguments]) == [0] * ranks
    found = [torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(ranks)]
    for i, case in enumerate(CASES):
        expected = two_steps(case, case.norm(), slice(None))
        assert_same(case, expected, [each[i] for each in found], LIMITS[case.dtype])


@pytest.fixture
def alone() -> Iterator[None]:
    """A process group of one rank."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store = HashStore()
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("way", ["formula", "kernels"])
@pytest.mark.usefixtures("alone")
def test_a_group_of_one_gives_what_batch_norm_gives(way: str) -> None:
    with norm_kernels_on_cpu.kernels("CPU") if way == "kernels" else contextlib.nullcontext():
        for case in CASES:
            found = two_steps(case, over_ranks(case), slice(None))
            expected = two_steps(case, case.norm(), slice(None))
            assert_same(case, expected, [found], LIMITS[case.dtype])


def over_ranks(case: Case) -> nn.Module:
    """Make the norm of a case as if there were other ranks."""
    return synchronize(case.norm(), World(size=2))


@pytest.mark.usefixtures("alone")
def test_one_value_per_channel_has_no_variance() -> None:
    for case in (Case(shape=()), Case(shape=(1, 1))):
        with pytest.raises(ValueError, match="expected more than 1 value per channel"):
            over_ranks(case)(case.whole(0)[:1])


@pytest.mark.usefixtures("alone")
def test_statistics_can_be_kept_and_replaced_as_those_of_any_batch_norm() -> None:
    norm, case = over_ranks(Case()), Case()
    before = [buffer.clone() for buffer in norm.buffers()]
    with preserve_statistics(norm):
        norm(case.whole(0))
    assert all(map(torch.equal, norm.buffers(), before))
    plain = case.norm()
    for each in (norm, plain):
        recalibrate(each, [case.whole(0), case.whole(1)])
    torch.testing.assert_close(norm.state_dict(), plain.state_dict(), rtol=1e-12, atol=1e-12)


@contextlib.contextmanager
def pretended(ranks: int) -> Iterator[None]:
    """A process group whose other ranks do not exist: collectives change no shape."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    try:
        with norm_kernels_on_cpu.kernels("Meta"), FakeTensorMode():
            yield
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("case", CASES)
def test_shapes_types_and_layouts_on_a_gpu_are_those_of_batch_norm(case: Case) -> None:
    """On fake tensors, which have a device and no memory: no GPU is needed."""
    expected = two_steps(case, case.norm(), slice(0, 3))
    with pretended(ranks=8):
        with torch.device("cuda"):
            norm = synchronize(case.fresh(), World(size=8))
        x = case.whole(0)[:3].to("cuda").requires_grad_(case.reads)
        out = norm(x)
        assert out.device.type == "cuda" and out.stride() == x.stride()
        found = {"out": out, **dict(norm.named_buffers()), **gradients(out)}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].shape == value.shape and found[name].dtype == value.dtype
            assert found[name].device.type == "cuda"


def gradients(out: Tensor) -> Found:
    """Call the backward of the norm itself: torch's engine would look for the device."""
    node: Any = out.grad_fn
    if node is None:
        return {}
    input, weight, bias, *rest = node.apply(torch.ones_like(out))
    assert rest == [None] * len(rest)
    named = {"of input": input, "of weight": weight, "of bias": bias}
    return {name: value for name, value in named.items() if value is not None}


# On GPUs.


@pytest.mark.gpu
@pytest.mark.usefixtures("alone")
def test_the_kernels_of_the_gpu_give_what_batch_norm_gives() -> None:
    for case in CASES:
        found = two_steps(case, over_ranks(case), slice(None), "cuda")
        expected = two_steps(case, case.norm(), slice(None))
        assert_same(case, expected, [found], max(LIMITS[case.dtype], 1e-10))


@pytest.mark.gpu
@pytest.mark.usefixtures("alone")
def test_the_host_does_not_wait_for_a_norm_over_ranks() -> None:
    for case in CASES:
        norm, x = over_ranks(case).to("cuda"), case.whole(0).cuda().requires_grad_(case.reads)
        norm(x)  # NCCL connects
        with gpu_waits.no_wait():
            out = norm(x)
            if out.requires_grad:
                out.sum().backward()


def gpu_rank(number: int, size: int, folder: Path) -> None:
    with process_group.join(number, size, number, folder / "meeting.json", StopSignal()) as world:
        each = [
            two_steps(case, synchronize(case.norm(), world), share_of(number, size), "cuda")
            for case in CASES
        ]
        torch.save(each, folder / f"{number}.pt")


@pytest.mark.gpu
def test_two_gpus_give_what_one_process_gives(tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    assert tiny.join([tiny.child(gpu_rank, i, 2, tmp_path) for i in range(2)]) == [0, 0]
    found = [torch.load(tmp_path / f"{i}.pt", weights_only=True) for i in range(2)]
    for i, case in enumerate(CASES):
        expected = two_steps(case, case.norm(), slice(None))
        assert_same(case, expected, [each[i] for each in found], max(LIMITS[case.dtype], 1e-10))
