"""The heartbeat of a run: progress.json, rewritten every few seconds while it works.

What takes long between two steps (an evaluation, a checkpoint) calls `touch`, so that a run that
works can be told from one that hangs.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import SCHEMA
from hpc_xfer.system import atomic_files

Item = TypeVar("Item")
_SECONDS = 2.0  # between writes: 40,000 runs on a parallel file system stay below 1 write/s each


@dataclass
class Liveness:
    """Says that a run is alive, seldom enough to be called for every batch; rank 0 alone does."""

    run: RunDir | None = None
    guard: Callable[[], object] | None = None  # raises where the run is no longer ours
    clock: Callable[[], float] = time.monotonic
    _last: float | None = None  # None: never; 0 would be a moment ago on a machine just booted

    def with_liveness(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, with a sign of life at each."""
        for item in items:
            self.touch()
            yield item

    def touch(self) -> None:
        now = self.clock()
        if self.run is None or (self._last is not None and now - self._last < _SECONDS):
            return
        self._last = now
        if self.guard is not None:
            self.guard()
        try:
            os.utime(self.run.progress)
        except FileNotFoundError:
            atomic_files.write_json(
                self.run.progress, {"schema": SCHEMA, "step": 0, "time": time.time()}
            )


@dataclass
class Heartbeat:
    """How far a run is; rank 0 alone says so, for the others `run` is None."""

    run: RunDir | None
    total: int
    batch: int
    done_before: int = 0  # steps of earlier attempts, not counted in the rate
    guard: Callable[[], object] | None = None  # as above
    clock: Callable[[], float] = time.monotonic
    _written: float | None = None  # as above

    def __post_init__(self) -> None:
        self._begun = self.clock()

    def beat(
        self, step: int, loss: float | None = None, waited: float = 0.0, force: bool = False
    ) -> None:
        """Say how far the run is: steps, samples/s, seconds to go, share of time spent waiting.

        Args:
            waited: seconds spent waiting for data in this attempt.
            force: whenever the last beat was.
        """
        now = self.clock()
        soon = self._written is not None and now - self._written < _SECONDS
        if self.run is None or (soon and not force):
            return
        self._written = now
        if self.guard is not None:
            self.guard()
        seconds = max(now - self._begun, 1e-9)
        rate = (step - self.done_before) / seconds
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "step": step,
            "total": self.total,
            "samples_per_second": round(rate * self.batch, 1),
            "eta_seconds": round((self.total - step) / rate) if rate > 0 else None,
            "data_wait": round(min(waited / seconds, 1.0), 3),
            "loss": loss,
            "time": time.time(),
        }
        atomic_files.write_json(self.run.progress, content)


def read(run: RunDir) -> dict[str, Any] | None:
    content = atomic_files.read_json(run.progress)
    return content if isinstance(content, dict) else None


def checkpoint_time(run: RunDir) -> int:
    """A mark that changes with each checkpoint, 0 for none: what came after it is made again.

    It is of the files, not of what a run says, which may die before what it says is on disk.
    """
    return max(map(_changed, (run.checkpoint, run.previous_checkpoint)))


def _changed(path: Path) -> int:
    """Of two checkpoints one may be gone for a moment, between two renames."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
