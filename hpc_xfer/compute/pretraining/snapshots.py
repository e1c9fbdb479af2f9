"""Snapshots: the encoder as it was after so many samples, in the format of the product.

train(..., at=snapshots.hooks(run, recipe, claim, save))
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hpc_xfer.compute.training.loop import Hook
from hpc_xfer.config.recipes import Trained
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.run_claims import Claim


def hooks(
    run: RunDir, recipe: Trained, claim: Claim | None, save: Callable[[Path], None]
) -> dict[int, Hook]:
    """What the loop calls after which step; only rank 0, which holds the claim, writes.

    A snapshot of an earlier attempt is kept: the same step of the same run made it, and what reads
    it may have begun.

    Args:
        save: writes the encoder as it is now, whole or not at all.
    """

    def keep(path: Path) -> dict[str, float]:
        if claim is not None and not path.exists():
            claim.check()
            save(path)
        return {}

    asked = recipe.snapshots or ()
    return {recipe.steps_of(n): partial(keep, run.snapshot(n)) for n in asked}
