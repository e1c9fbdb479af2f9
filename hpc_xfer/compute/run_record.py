"""Write the result of a run: last, on rank 0, under its claim."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hpc_xfer.compute.distributed import device
from hpc_xfer.compute.group_commit import SMALL_SECONDS
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.store import SCHEMA
from hpc_xfer.system import atomic_files, provenance


def write(
    context: RunContext,
    metrics: dict[str, Any],
    timing: dict[str, float],
    data: dict[str, Any],
    started: str,
    path: dict[str, Any] | None = None,
    hits: bytes | None = None,
    products: dict[str, str] | None = None,
    afterwards: Callable[[], object] = lambda: None,
) -> None:
    """Write hits.npy and record.json, whose presence means that the run is done.

    The files of a small run may appear a little later, with those of other runs (group_commit.py).

    Args:
        timing: "seconds" is the time of the whole run.
        data: fingerprints of what the run read.
        path: what was measured for each value of a setting, as lists of equal length.
        hits: content of hits.npy.
        products: SHA-256 of each file that fine-tunings start from.
        afterwards: called once the record is on disk, which may be later: checkpoints may go then,
            and not before, since what a resumed run had done is in them alone.

    Raises:
        ClaimLost: another process has taken the run over.
        StoreError: the disk is full.
    """
    assert context.claim is not None, "only rank 0 writes records"
    context.claim.check()
    record = _record(context, metrics, timing, data, started)
    if products is not None:
        record["provenance"]["products"] = products
    content = atomic_files.json_bytes(record if path is None else record | {"path": path})
    files: dict[Path, bytes] = {} if hits is None else {context.dir.hits: hits}
    files[context.dir.record] = content
    if context.group is not None and timing["seconds"] < SMALL_SECONDS:
        context.group.add(context.claim, context.dir, files, afterwards)
        return
    for file, bytes_ in files.items():
        atomic_files.write_bytes(file, bytes_)
    context.dir.error.unlink(missing_ok=True)
    afterwards()


def _record(
    context: RunContext,
    metrics: dict[str, Any],
    timing: dict[str, float],
    data: dict[str, Any],
    started: str,
) -> dict[str, Any]:
    jobs = run_claims.started_in(context.dir)  # kept here: the claims go when it is done
    return {
        "schema": SCHEMA,
        "run": context.run.id,
        "kind": context.run.kind,
        "parents": [parent.id for parent in context.run.parents],
        "recipe": context.run.spec,
        "metrics": metrics,
        "timing": {name: round(value, 3) for name, value in timing.items()},
        "provenance": {
            **provenance.code(),
            **provenance.machine(),
            "packages": provenance.packages(),
            **device.description(context.world.device),
            "ranks": context.world.size,
            **({"nodes": context.world.nodes} if context.world.nodes else {}),
            "threads": torch.get_num_threads(),
            "attempt": run_claims.attempts(context.dir),
            **({"jobs": jobs} if jobs else {}),
            "data": data,
            "started": started,
            "ended": provenance.now(),
        },
    }
