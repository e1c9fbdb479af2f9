"""The rolling checkpoint of a run: whole or absent, verified, with the one before kept.

    with Checkpoints(run, claim) as checkpoints:
        state = checkpoints.load()
        checkpoints.begin(state)     # written by a thread while training goes on

torch.save writes a zip archive with a CRC-32 per member. torch.load does not check them, so
reading verifies the archive first; a damaged file falls back to the previous one with a warning.
"""

import logging
import os
import pickle
import threading
import warnings
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import torch

from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.run_claims import Claim
from hpc_xfer.system import atomic_files
from hpc_xfer.training.on_host import HostCopy

log = logging.getLogger(__name__)

# What zipfile and torch raise on damaged files; NotImplementedError is a RuntimeError.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


def write(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values atomically.

    Raises:
        StoreError: the disk is full or cannot be written; the old file stays.
    """
    atomic_files.write_atomically(path, lambda file: _save(state, file))


def read(path: Path) -> dict[str, Any] | None:
    """The state on the CPU, or None where the file is absent or damaged (which is said)."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad:
            raise zipfile.BadZipFile(f"checksum of {bad}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(f"{path}: is damaged ({reason}) and passed over", stacklevel=2)
        return None
    return state


class _Remembering:
    """torch.save hides the file's own error, such as a full disk, behind one about positions."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """`files` does it."""


def _save(state: dict[str, Any], file: IO[bytes]) -> None:
    out = _Remembering(file)
    try:
        torch.save(state, cast(IO[bytes], out))
    except RuntimeError:
        if out.error is not None:
            raise out.error from None
        raise


class Checkpoints:
    """Save and load the state of one run under its claim.

    Used in a `with`, at whose end all that was begun is on disk.
    """

    def __init__(self, run: RunDir, claim: Claim | None) -> None:
        self.run, self.claim = run, claim
        self._writer: threading.Thread | None = None
        self._error: Exception | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.join()
        if kind is None:
            self.check()
        elif self._error is not None:
            log.warning("%s", self._error)

    def check(self) -> None:
        """Raises:
        ClaimLost: another process took the run over.
        StoreError: what was begun could not be written.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self.claim is not None:
            self.claim.check()

    def save(self, state: dict[str, Any]) -> None:
        """Begin, and wait until it is on disk.

        Raises:
            ClaimLost: another process took the run over; its checkpoints are left alone.
            StoreError: the disk is full.
        """
        self.begin(state)
        self.wait()

    def begin(self, state: dict[str, Any]) -> None:
        """Copy to the host; a thread writes it while training goes on.

        Raises: as `save`; what the thread meets, at the next call of any method.
        """
        assert self.claim is not None, "rank 0 alone saves, and it holds the claim"
        self.wait()
        self._sweep()  # not in the thread: training may write its progress by then
        copied = HostCopy(state)
        self._writer = threading.Thread(target=self._write, args=(copied,), name="checkpoint")
        self._writer.start()

    def wait(self) -> None:
        """Until what was begun is on disk. Raises as `save`."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        self.check()

    def _write(self, copied: HostCopy) -> None:
        """Keeps what goes wrong for the thread that trains."""
        try:
            self._replace(copied.whole())
        except Exception as error:  # whatever it is, the thread that trains shall meet it
            self._error = error

    def _replace(self, state: dict[str, Any]) -> None:
        assert self.claim is not None
        claim, run = self.claim, self.run

        def save(file: IO[bytes]) -> None:
            _save(state, file)
            file.flush()
            os.fsync(file.fileno())
            claim.check()  # a large state takes long enough to be given up for dead
            if run.checkpoint.exists():
                os.replace(run.checkpoint, run.previous_checkpoint)

        atomic_files.write_atomically(run.checkpoint, save)

    def load(self) -> dict[str, Any] | None:
        """The newest whole state, or None."""
        newest = read(self.run.checkpoint)
        return newest if newest is not None else read(self.run.previous_checkpoint)

    def discard(self) -> None:
        """A finished run needs its product, not its optimiser."""
        self._sweep()
        self.run.drop_checkpoints()

    def _sweep(self) -> None:
        """What earlier attempts were writing when they were killed.

        Only of files that a run's owner alone writes: a launcher may be at recipe.json right now.
        """
        run = self.run
        results = (run.encoder, run.safetensors, run.hits, run.record)
        for own in (run.checkpoint, *results, run.progress, run.metrics):
            for left in run.path.glob(f".{own.name}.*.tmp"):
                left.unlink(missing_ok=True)
        for left in run.snapshots.glob(".*.tmp"):
            left.unlink(missing_ok=True)
