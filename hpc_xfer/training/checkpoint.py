"""The rolling checkpoint of a run: whole or absent, verified, with the one before kept.

torch.save writes a zip archive with a CRC-32 per member. torch.load does not check them, so
reading verifies the archive first; a damaged file falls back to the previous one with a warning.
"""

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from hpc_xfer import files
from hpc_xfer.claims import Claim
from hpc_xfer.store import RunDir


def write(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values atomically.

    Raises:
        StoreError: the disk is full or cannot be written; the old file stays.
    """
    files.write_atomically(path, lambda file: torch.save(state, file))


def read(path: Path) -> dict[str, Any] | None:
    """The state on the CPU, or None where the file is absent or damaged (which is said)."""
    if not path.exists():
        return None
    if damage := _damage(path):
        warnings.warn(f"{path}: is damaged ({damage}) and passed over", stacklevel=2)
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


class Checkpoints:
    """Save and load the state of one run under its claim."""

    def __init__(self, run: RunDir, claim: Claim | None) -> None:
        self.run, self.claim = run, claim

    def save(self, state: dict[str, Any]) -> None:
        """Raises:
        ClaimLost: another process took the run over; its checkpoints are left alone.
        StoreError: the disk is full.
        """
        assert self.claim is not None, "rank 0 alone saves, and it holds the claim"
        self.claim.check()
        fresh = self.run.path / "checkpoint.new.pt"
        write(fresh, state)
        if self.run.checkpoint.exists():
            os.replace(self.run.checkpoint, self.run.previous_checkpoint)
        os.replace(fresh, self.run.checkpoint)

    def load(self) -> dict[str, Any] | None:
        """The newest whole state, or None."""
        newest = read(self.run.checkpoint)
        return newest if newest is not None else read(self.run.previous_checkpoint)

    def discard(self) -> None:
        """A finished run needs its product, not its optimiser."""
        for path in (self.run.checkpoint, self.run.previous_checkpoint):
            path.unlink(missing_ok=True)


def _damage(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        return str(error)
    return f"checksum of {bad}" if bad else None
