"""Judge what a check job found on its node; see compute/node_check.py."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hpc_xfer.scheduling.checks.check_result import CheckResult
from hpc_xfer.scheduling.checks.gpu_verdicts import gpu_verdicts
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study.loader_memory import most_on_a_node
from hpc_xfer.system import provenance, terminal
from hpc_xfer.system.limits import shared_memory

_COMPARED_PACKAGES = ("torch", "open_clip_torch", "numpy", "python")
# Bus bandwidth in GB/s below which gradients delay every step: NVLink gives 100 to 400, PCIe 10 to
# 20, InfiniBand 10 to 45, Ethernet of 10 Gbit/s 1.
_WITHIN_A_NODE, _ACROSS_NODES = 20.0, 5.0


def judged(
    launched: LaunchedStudy, kind: str, tasks: int, found: dict[str, Any]
) -> Iterator[CheckResult]:
    """Yield a verdict on each thing that the check of one kind of run found.

    Args:
        tasks: processes of the check.
    """
    node = found["node"] or found["host"]
    yield _environment(f"{kind} environment", found, node)
    yield from gpu_verdicts(launched, kind, tasks, found)
    for what, complaint in found["data"].items():
        advice = "make it readable on compute nodes, or correct the site file"
        message = complaint or f"can be read on {node}"
        yield CheckResult(f"{kind}: {what}", not complaint, message, advice)
    yield _temporary(launched, f"{kind} TMPDIR", found)
    yield _shared_memory(launched, kind, found)
    yield from _all_reduce(f"{kind} all-reduce", found)


def _temporary(launched: LaunchedStudy, what: str, found: dict[str, Any]) -> CheckResult:
    """Check TMPDIR; Slurm replaces one that does not exist."""
    scratch, actual, free = launched.site.slurm.scratch, found["temporary"], found["temporary_free"]
    if scratch and "$" not in scratch and scratch != actual:
        message, well = f"{scratch} does not exist; Slurm set it to {actual}", False
    elif free is None:
        message, well = f"{actual} does not exist", False
    else:
        message, well = f"{actual}: {terminal.size(free)} free", True
    return CheckResult(what, well, message, "correct `scratch` in the site file")


def _environment(what: str, found: dict[str, Any], node: str) -> CheckResult:
    """Compare the packages and the code with those of this machine."""
    here = {"packages": provenance.packages(), "code": provenance.code()}
    differences = [
        f"{name} {found['packages'].get(name)} there, {here['packages'].get(name)} here"
        for name in _COMPARED_PACKAGES
        if found["packages"].get(name) != here["packages"].get(name)
    ]
    if found["code"].get("digest") != here["code"]["digest"]:
        differences.append("another version of hpc_xfer")
    return CheckResult(
        what, not differences,
        f"{node}: " + ("; ".join(differences) or "the same packages and code as here"),
        "use one environment on a shared file system; see `setup` in the site file",
    )  # fmt: skip


def _shared_memory(launched: LaunchedStudy, kind: str, found: dict[str, Any]) -> CheckResult:
    """Compare what is free in /dev/shm with what the loading processes of such runs need."""
    plan = replace(launched.plan, runs=tuple(run for run in launched.plan.runs if run.kind == kind))
    needed = most_on_a_node(plan, launched.site.slurm.gpus_per_node)
    what, free = f"{kind} shared memory", found["shared_memory_free"]
    if free is None:
        return CheckResult(
            what, not needed, f"{shared_memory.FOLDER} is missing", shared_memory.WAY_OUT
        )
    message = f"{terminal.size(free)} free in {shared_memory.FOLDER}"
    if needed:
        message += f", about {terminal.size(needed)} needed for loading"
    return CheckResult(what, free >= needed, message, shared_memory.WAY_OUT)


def _all_reduce(what: str, found: dict[str, Any]) -> Iterator[CheckResult]:
    """Compare the speed of an all-reduce with what the network of a GPU should give."""
    speed, nodes = found["all_reduce_bus_gigabytes_per_second"], found["nodes"]
    if speed is None:
        return
    where, floor = ("1 node", _WITHIN_A_NODE) if nodes == 1 else (f"{nodes} nodes", _ACROSS_NODES)
    on_gpus = found["device"] == "cuda"
    message = f"{found['ranks']} ranks on {where}, {speed:.2f} GB/s of bus bandwidth"
    if nodes == 1:
        advice = (
            f"below {floor:g} GB/s GPUs do not use NVLink: see `nvidia-smi topo -m` there, and the "
            "log under NCCL_DEBUG=INFO; without NVLink 10 is normal"
        )
    else:
        advice = (
            f"below {floor:g} GB/s every step waits for gradients: set NCCL_SOCKET_IFNAME or "
            "NCCL_IB_HCA in the site's `environment`, and see the log under NCCL_DEBUG=INFO"
        )
    yield CheckResult(what, speed >= floor or not on_gpus, message, advice)
