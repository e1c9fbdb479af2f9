"""The heartbeat of a run: progress.json, rewritten every few seconds while the run works.

Long work between two steps (an evaluation, a checkpoint) calls `touch`, so that a working run
differs from one that hangs. Its `time` is that of the file server, as all of a store is.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hpc_xfer.store.documents.progress import PROGRESS
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import SCHEMA
from hpc_xfer.system import atomic_files

Item = TypeVar("Item")
WRITE_SECONDS = 2.0  # between writes: each of 40,000 runs on a file system stays below 1 write/s


@dataclass
class Liveness:
    """Shows that a run is alive. Cheap enough to call for every batch; only rank 0 writes."""

    run: RunDir | None = None  # None on other ranks
    guard: Callable[[], object] | None = None  # raises where another process has taken the run
    clock: Callable[[], float] = time.monotonic
    _last: float | None = None  # None: never. 0 would be recent on a machine that has just booted

    def with_liveness(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items and touch at each."""
        for item in items:
            self.touch()
            yield item

    def touch(self) -> None:
        """Renew the time of progress.json, at most every two seconds."""
        now = self.clock()
        if self.run is None or (self._last is not None and now - self._last < WRITE_SECONDS):
            return
        self._last = now
        if self.guard is not None:
            self.guard()
        try:
            os.utime(self.run.progress, follow_symlinks=False)
        except FileNotFoundError:
            content = {"schema": SCHEMA, "step": 0, "time": server_time(self.run.path)}
            atomic_files.write_json(self.run.progress, content, durable=False)


@dataclass
class Heartbeat:
    """Writes the progress of a run. Only rank 0 writes: `run` is None on other ranks."""

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
        """Write steps, samples/s, seconds to go and the share of time spent waiting for data.

        Args:
            waited: seconds spent waiting for data in this attempt.
            force: also within two seconds of the last beat.
        """
        now = self.clock()
        soon = self._written is not None and now - self._written < WRITE_SECONDS
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
            "time": server_time(self.run.path),
        }
        atomic_files.write_json(self.run.progress, content, durable=False)


def read(run: RunDir) -> dict[str, Any] | None:
    """Read the last heartbeat, with its `age` in seconds; None where there is none, or an odd one.

    It was dated by the clock of the file server, which alone tells its age on any host.
    """
    content = PROGRESS.read(run.progress)
    if content is None:
        return None
    return {**content, "age": max(0.0, server_time(run.path) - content["time"])}


def checkpoint_time(run: RunDir) -> int:
    """Nanoseconds at which the newest checkpoint was written; 0 where there is none.

    It comes from the files: a run may die before what it reports is on disk.
    """
    return max(map(_write_time, (run.checkpoint, run.previous_checkpoint)))


def _write_time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # for a moment between two renames one of the two is absent
        return 0
