"""Remove what only the work on a run needed, once it has its record.

A study of 40,000 fine-tunings would leave 160,000 such files and folders, and file systems of
clusters have quotas. A finished fine-tuning keeps record.json, hits.npy and metrics.jsonl. A
pre-training keeps all but its checkpoints: there are few, and people look at their files.
"""

from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files


def remove_working_files(run: RunDir) -> None:
    """Remove checkpoints and, of a fine-tuning, recipe, heartbeat and claims.

    The record has the recipe and the jobs that started the run. A crash in between leaves files
    that nobody needs; the claims are the last, so that until then nobody else touches the rest.
    A process that claims the run afterwards looks for the record once more.

    Raises:
        StoreError: one cannot be removed.
    """
    with atomic_files.as_store_error(run.path):
        run.remove_checkpoints()
        if run.encoder.exists():
            return
        for path in (run.recipe, run.progress):
            path.unlink(missing_ok=True)
    run_claims.remove(run)
