"""Check a compute node for `doctor`: packages, GPUs, data, disk, connection between ranks.

srun python -m hpc_xfer.compute.node_check --store runs --grid a.yaml --out found.json
"""

import argparse
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from hpc_xfer import cli
from hpc_xfer.compute import gpu_check
from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.downstream import datasets
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.site import Site
from hpc_xfer.errors import GpuMissing, XferError
from hpc_xfer.store.launched_study import load_in_store
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.store.store import Store
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import atomic_files, machine, provenance
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.limits import shared_memory

_MEGABYTES = {"cuda": 256, "cpu": 16}  # all-reduced; a ResNet-50 has 100 MB of gradients
_ROUNDS = 5


def look(
    study: Study, site: Site, store: Store, world: World, gpu_missing: str = ""
) -> dict[str, Any]:
    """Check this node; all ranks must call it, for the all-reduce. Rank 0 also reads the data.

    Args:
        gpu_missing: why a GPU that was given cannot be used.
    """
    memory = shared_memory.shared_memory()
    return {
        "host": socket.gethostname(),
        "node": os.environ.get("SLURMD_NODENAME", ""),
        "ranks": world.size,
        "nodes": len(set(world.nodes)) or 1,
        "device": world.device.type,
        "packages": provenance.packages(),
        "code": provenance.code(),
        "gpus": _gpu_names(),
        "gpu_missing": gpu_missing,
        "gpu": gpu_check.look(world.device) if world.is_rank_zero else {},
        "mps": machine.has_mps(),
        "store_free": shutil.disk_usage(store.root).free,
        "temporary": os.environ.get("TMPDIR", "/tmp"),
        "temporary_free": _free(os.environ.get("TMPDIR", "/tmp")),
        "shared_memory_free": memory.free if memory else None,
        "all_reduce_bus_gigabytes_per_second": _all_reduce(world),
        "data": dict(_data(study, site)) if world.is_rank_zero else {},
    }


def _gpu_names() -> list[str]:
    try:
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    except RuntimeError:  # they are there, and cannot be used; `gpu_missing` has the reason
        return []


def _free(folder: str) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _all_reduce(world: World) -> float | None:
    """Bus bandwidth of an all-reduce in GB/s; None for a single rank.

    A ring sends 2 (n - 1) / n of the bytes through each link, whatever the number n of ranks, so
    this figure compares with the speed of a link, and bytes over seconds do not.
    """
    if world.size == 1:
        return None
    megabytes = _MEGABYTES[world.device.type]
    numbers = torch.ones(megabytes << 18, device=world.device)  # fp32
    for _ in range(2):  # connections are made
        dist.all_reduce(numbers)
    _synchronize(world)
    begun = time.perf_counter()
    for _ in range(_ROUNDS):
        dist.all_reduce(numbers)
    _synchronize(world)
    seconds = (time.perf_counter() - begun) / _ROUNDS
    return 2 * (world.size - 1) / world.size * (megabytes << 20) / 1e9 / seconds


def _synchronize(world: World) -> None:
    if world.device.type == "cuda":
        torch.cuda.synchronize()


def _data(study: Study, site: Site) -> Iterator[tuple[str, str]]:
    """Yield each source and data set with the error of reading it here, "" if there is none.

    A source that the site does not name was told where doctor was called.
    """
    trained = [recipe for recipe in study.pretrains if isinstance(recipe, Trained)]
    for name in sorted(
        {name for recipe in trained for name in recipe.shares} & site.sources.keys()
    ):
        yield f"source {name}", _error_of(partial(_open_source, site, name))
    probe = study.resources.pretrain.probe
    names = {trial.dataset for trial in study.trials} | ({probe.dataset} if probe else set())
    for name in sorted(names):
        yield f"data set {name}", _error_of(partial(_open_dataset, site, name))


def _error_of(read: Callable[[], object]) -> str:
    try:
        read()
    except XferError as error:
        return str(error)
    except Exception as error:  # any error is a result of this check
        return f"{type(error).__name__}: {error}"
    return ""


def _open_source(site: Site, name: str) -> None:
    """Read the first sample of the first and of the last shard."""
    index = ShardIndex.load(Path(site.sources[name]))
    for entry in (index.entries[0], index.entries[-1]):
        open_shard(index.path(entry)).read(0)


def _open_dataset(site: Site, name: str) -> None:
    place = site.dataset(name)
    datasets.check_readable(downstream_datasets.dataset_info(name, place), place)


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser(
        "compute.node_check", "Check a compute node; `doctor` submits it as a job.",
        "srun python -m hpc_xfer.compute.node_check --store runs --grid a.yaml --out found.json",
    )  # fmt: skip
    parser.add_argument("--store", type=Path, required=True, help="the store")
    parser.add_argument("--grid", type=Path, required=True, help="the study file")
    parser.add_argument("--site", type=Path, help="site file")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--set", action="append", help="as of the study")
    args: argparse.Namespace = parser.parse_args(argv)
    study = load_in_store(args.grid, Store(args.store), args.set, is_launch=True)
    store, site = site_variables.store_and_site(args.store, study.name, args.site)
    store.check()
    process = ProcessRank.from_slurm()
    meeting = args.out.with_suffix(f".meeting-{process.attempt}.json")
    if site.slurm.gpu_option != "none":
        os.environ.setdefault(machine.DEVICE, "cuda")  # as the supervisor of a job does
    place = process.rank, process.size, process.local_rank
    try:
        with process_group.join(*place, meeting, StopSignal()) as world:
            found = look(study, site, store, world)
    except GpuMissing as error:  # on all ranks; what else there is to find is found without them
        found = look(study, site, store, World(process.rank), str(error))
    if process.rank == 0:
        atomic_files.write_json(args.out, found)
    return 0


if __name__ == "__main__":
    cli.exit_with(main)
