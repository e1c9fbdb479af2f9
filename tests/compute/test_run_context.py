"""What a task gets from the worker: the loading processes that its machine has cores for."""

from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.finetuning.cache import FinetuneCache
from hpc_xfer.compute.run_context import RunContext, RunResources
from hpc_xfer.config.resources import FinetuneResources, PretrainResources
from hpc_xfer.config.site import Site
from hpc_xfer.store.store import Store
from hpc_xfer.system import machine
from hpc_xfer.system.limits.process_share import share_variables
from tests import tiny


def workers(folder: Path, resources: RunResources, device: str) -> int:
    run = tiny.pretraining("clip")
    if isinstance(resources, FinetuneResources):
        run = tiny.finetuning(run)
    world = World(device=torch.device(device))
    context = RunContext(
        run, Store(folder), Site(), None, resources, world, StopSignal(), FinetuneCache()
    )
    assert context.loop_options.workers == context.workers
    return context.workers


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_CPUS_PER_TASK", *share_variables(1)):
        monkeypatch.delenv(name, raising=False)


def test_loading_processes_follow_the_cores_beside_a_gpu(tmp_path: Path) -> None:
    cores = machine.cores()
    assert workers(tmp_path, PretrainResources(), "cuda") == min(8, max(1, cores - 1))
    assert workers(tmp_path, PretrainResources(), "cpu") == min(2, max(1, cores - 1))
    assert workers(tmp_path, PretrainResources(threads=cores), "cpu") == 1


def test_a_number_in_the_grid_is_taken(tmp_path: Path) -> None:
    for number in (0, 5):
        assert workers(tmp_path, PretrainResources(workers=number), "cuda") == number
        assert workers(tmp_path, FinetuneResources(workers=number), "cpu") == number


def test_fine_tunings_that_share_a_gpu_share_its_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in share_variables(1, per_place=1000).items():
        monkeypatch.setenv(name, value)
    assert workers(tmp_path, FinetuneResources(), "cuda") == 1
    alone = min(8, max(1, machine.cores() - 1))
    assert workers(tmp_path, PretrainResources(), "cuda") == alone
