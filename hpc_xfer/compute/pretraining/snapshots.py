"""Save snapshots: the encoder after a number of samples, in the format of encoder.pt.

train(..., at=snapshots.hooks(run, recipe, claim, save))
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hpc_xfer.compute.training.loop import Hook
from hpc_xfer.config.recipes import Pretrain, Trained, encoder_points
from hpc_xfer.store.ownership.run_claims import Claim
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files


def hooks(
    run: RunDir, recipe: Trained, claim: Claim | None, save: Callable[[Path], None]
) -> dict[int, Hook]:
    """Map steps to functions that the loop calls after them; only rank 0 writes.

    A snapshot of an earlier attempt is kept: the same step of the same run made it, and
    fine-tunings may be reading it.

    Args:
        claim: None on other ranks.
        save: writes the current encoder atomically.
    """

    def keep(path: Path) -> dict[str, float]:
        if claim is not None and not path.exists():
            claim.check()
            save(path)
        return {}

    return {recipe.steps_of(n): partial(keep, run.snapshot(n)) for n in recipe.snapshots or ()}


def digests(run: RunDir, recipe: Pretrain) -> dict[str, str]:
    """Return the SHA-256 of each snapshot by its path in the folder of the run."""
    counts = [point for point in encoder_points(recipe) if point is not None]
    files = [run.snapshot(count) for count in counts]
    return {file.relative_to(run.path).as_posix(): atomic_files.sha256(file) for file in files}
