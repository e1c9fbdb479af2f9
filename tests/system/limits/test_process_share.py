"""A process's share of cores and memory, and what it makes of it."""

import os

import pytest

from hpc_xfer.system import machine
from hpc_xfer.system.limits.process_share import (
    kept_bytes,
    loading_processes,
    own_cores,
    own_memory,
    share_variables,
)


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 1), (4, 3), (9, 8), (64, 8)])
def test_beside_a_gpu_all_cores_but_one_load(cores: int, expected: int) -> None:
    assert loading_processes(cores, has_gpu=True) == expected


def test_without_a_gpu_the_encoder_needs_the_cores() -> None:
    found = [loading_processes(cores, has_gpu=False, threads=2) for cores in (1, 2, 3, 4, 64)]
    assert found == [1, 1, 1, 2, 2]


def test_images_in_memory_get_a_sixteenth_of_it_between_bounds() -> None:
    assert kept_bytes(64 << 30) == 4 << 30
    assert kept_bytes(None) == kept_bytes(1 << 30) == 1 << 28
    assert kept_bytes(1 << 40) == 8 << 30


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a process that has this machine to itself."""
    for name in ("SLURM_CPUS_PER_TASK", *share_variables(1)):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_processes_of_a_launch_share_the_machine(own: pytest.MonkeyPatch) -> None:
    whole, memory = own_cores(), own_memory()
    assert whole == machine.cores() and memory is not None
    for name, value in share_variables(places=1, per_place=4).items():
        own.setenv(name, value)
    assert own_cores() == whole  # of a pre-training, which has its GPU alone
    assert own_cores(shares_place=True) == max(1, whole // 4)
    assert own_memory() == pytest.approx(memory / 4, rel=0.1)  # others use the machine too
    own.setenv("HPC_XFER_PLACES", str(1000 * whole))
    assert own_cores() == 1


def test_a_task_of_slurm_has_the_cores_that_it_asked_for(own: pytest.MonkeyPatch) -> None:
    """Some clusters do not bind tasks, and each sees all cores of its node."""
    own.setenv("SLURM_CPUS_PER_TASK", "1")
    assert own_cores() == 1
    own.setenv("SLURM_CPUS_PER_TASK", "100000")
    assert own_cores() == len(os.sched_getaffinity(0))
    own.setenv("SLURM_CPUS_PER_TASK", "1")
    for name, value in share_variables(places=1).items():  # --on local in an allocation
        own.setenv(name, value)
    assert own_cores() == machine.cores()
