"""Write the record of a run: last, on rank 0, under its claim."""

from typing import Any

import torch

from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.store import run_claims
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
) -> None:
    """Write record.json, whose presence means that the run is done.

    Args:
        data: fingerprints.
        path: what a probe measured at each value.
        hits: content of hits.npy, written before the record.

    Raises:
        ClaimLost: another process has taken the run over.
        StoreError: the disk is full.
    """
    assert context.claim is not None, "only rank 0 writes records"
    context.claim.check()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    record = {
        "schema": SCHEMA,
        "run": context.run.id,
        "kind": context.run.kind,
        "parents": [parent.id for parent in context.run.parents],
        "recipe": context.run.spec,
        "metrics": metrics,
        **({} if path is None else {"path": path}),
        "timing": {name: round(value, 3) for name, value in timing.items()},
        "provenance": {
            **provenance.code(),
            **provenance.machine(),
            "packages": provenance.packages(),
            "gpu": gpu,
            "ranks": context.world.size,
            "threads": torch.get_num_threads(),
            "attempt": run_claims.attempts(context.dir),
            "data": data,
            "started": started,
            "ended": provenance.now(),
        },
    }
    if hits is not None:
        atomic_files.write_bytes(context.dir.hits, hits)
    atomic_files.write_json(context.dir.record, record)
    context.dir.error.unlink(missing_ok=True)
