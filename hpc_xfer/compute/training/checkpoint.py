"""The rolling checkpoint of a run: written atomically, verified, the previous one kept.

    with Checkpoints(run, claim) as checkpoints:
        state = checkpoints.load()
        checkpoints.begin(state)     # a thread writes while training goes on

torch.save writes a zip archive with a CRC-32 for each member. torch.load does not check them, so
the archive is verified first; instead of a damaged file, or of one that does not fit the training,
the previous one is read, with a warning.
"""

import copy
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import IO, Any

import torch
from torch import Tensor

from hpc_xfer.compute.models.weights_file import read, save_tensors
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.store.ownership.run_claims import Claim
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files

_LATE_SECONDS = 30.0
_LOOK_SECONDS = 1.0  # between looks at a thread that writes

log = logging.getLogger(__name__)


class HostCopy:
    """Copy a nested state of dicts, lists, tuples, tensors and plain values to the host.

    For tensors on a GPU this returns at once; `result` waits for the copies. They are queued on the
    GPU after the work of this step and before that of the next, which so cannot change them. Host
    memory is pinned.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self._devices: set[torch.device] = set()
        self._state = self._copied(state)
        self._events = [_event(device) for device in self._devices]

    def result(self) -> dict[str, Any]:
        """Wait for all copies; return the state."""
        for event in self._events:
            event.synchronize()
        state: dict[str, Any] = self._state
        return state

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value.detach())
        if isinstance(value, MutableMapping):
            same = copy.copy(value)  # state dicts have attributes of their own
            for key, item in value.items():
                same[key] = self._copied(item)
            return same
        if isinstance(value, list | tuple):
            return type(value)(self._copied(item) for item in value)
        return value

    def _tensor(self, value: Tensor) -> Tensor:
        if value.device.type != "cuda":
            return value.clone()
        self._devices.add(value.device)
        host = torch.empty_like(value, device="cpu", pin_memory=True)
        return host.copy_(value, non_blocking=True)


def _event(device: torch.device) -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event


class Checkpoints:
    """Save and load the state of one run under its claim.

    Use it in a `with` block; at its end the checkpoint that was begun is on disk.
    """

    def __init__(self, run: RunDir, claim: Claim | None) -> None:
        self.run, self.claim = run, claim
        self._liveness = Liveness(run if claim is not None else None)
        self._begun = 0.0
        self._pieces = 0  # that the thread has put on disk
        self._writer: threading.Thread | None = None
        self._error: Exception | None = None
        self.ahead: dict[str, Any] | None = None  # of `look_ahead`, until `load`

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is None:
            self.wait()
            return
        if self._writer is not None:
            self._writer.join()
        if self._error is not None:
            log.warning("%s", self._error)

    @property
    def is_late(self) -> bool:
        """True while the last checkpoint takes longer to be on disk than is worth a wait."""
        writes = self._writer is not None and self._writer.is_alive()
        return writes and time.monotonic() - self._begun > _LATE_SECONDS

    def check(self) -> None:
        """Raises:
        ClaimLost: another process took the run over.
        StoreError: a checkpoint that was begun could not be written.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self.claim is not None:
            self.claim.check()

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint and wait until it is on disk.

        Raises:
            ClaimLost: another process took the run over; its checkpoints are left alone.
            StoreError: the disk is full.
        """
        self.begin(state)
        self.wait()

    def begin(self, state: dict[str, Any]) -> None:
        """Copy the state to the host; a thread writes it while training goes on.

        Raises: as `save`; errors of the thread are raised by the next call of any method.
        """
        assert self.claim is not None, "rank 0 alone saves, and it holds the claim"
        self.wait()
        self._sweep()  # not in the thread: training may be writing its progress then
        copied = HostCopy(state)
        self._writer = threading.Thread(target=self._write, args=(copied,), name="checkpoint")
        self._begun = time.monotonic()
        self._writer.start()

    def wait(self) -> None:
        """Wait until the checkpoint that was begun is on disk. Raises as `save`.

        It is a sign of life when more of it is on disk, and none when the disk hangs.
        """
        seen = self._pieces
        while self._writer is not None:
            self._writer.join(_LOOK_SECONDS)
            if not self._writer.is_alive():
                self._writer = None
            elif self._pieces != seen:
                seen = self._pieces
                self._liveness.touch()
        self.check()

    def _write(self, copied: HostCopy) -> None:
        """Write in the thread; keep an error for the thread that trains."""
        try:
            self._replace(copied.result())
        except Exception as error:  # raised again in the thread that trains
            self._error = error

    def _replace(self, state: dict[str, Any]) -> None:
        assert self.claim is not None
        claim, run = self.claim, self.run

        def touch() -> None:
            self._pieces += 1

        def save(file: IO[bytes]) -> None:
            save_tensors(state, file, touch)
            file.flush()
            os.fsync(file.fileno())
            claim.check()  # writing a large state takes long; the run may have been taken over
            if run.checkpoint.exists():
                os.replace(run.checkpoint, run.previous_checkpoint)

        atomic_files.write_atomically(run.checkpoint, save)

    def look_ahead(self) -> bool:
        """Tell whether `load` will find a state; it is read once, and kept until then."""
        self.ahead = self.load()
        return self.ahead is not None

    def load(
        self, why_unfit: Callable[[dict[str, Any]], str | None] = lambda state: None
    ) -> dict[str, Any] | None:
        """Return the newest state that is undamaged and that `why_unfit` says nothing of."""
        ahead, self.ahead = self.ahead, None
        if ahead is not None and why_unfit(ahead) is None:
            return ahead
        for path in (self.run.checkpoint, self.run.previous_checkpoint):
            state = read(path, self._liveness.touch)
            if state is None:
                continue
            if (why := why_unfit(state)) is None:
                return state
            warnings.warn(f"{path}: does not fit this run ({why}) and is skipped", stacklevel=2)
        return None

    def discard(self) -> None:
        """Delete the checkpoints of a finished run."""
        self._sweep()
        self.run.remove_checkpoints()

    def _sweep(self) -> None:
        """Delete temporary files that killed attempts left.

        Only those of files that the owner of a run writes: a launcher may be writing recipe.json.
        """
        run = self.run
        results = (run.encoder, run.safetensors, run.hits, run.record)
        for own in (run.checkpoint, run.epochs, *results, run.progress, run.metrics):
            for left in run.path.glob(f".{own.name}.*.tmp"):
                left.unlink(missing_ok=True)
        for left in run.snapshots.glob(".*.tmp"):
            left.unlink(missing_ok=True)
