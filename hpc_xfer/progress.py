"""The heartbeat of a run: progress.json, rewritten every few seconds while it works."""

import time
from dataclasses import dataclass, field
from typing import Any

from hpc_xfer import files
from hpc_xfer.store import SCHEMA, RunDir

_SECONDS = 2.0  # between writes: 40,000 runs on a parallel file system stay below 1 write/s each


@dataclass
class Heartbeat:
    run: RunDir
    total: int
    batch: int
    done_before: int = 0  # steps of earlier attempts, not counted in the rate
    _begun: float = field(default_factory=time.monotonic)
    _written: float = 0.0

    def beat(self, step: int, loss: float | None = None, force: bool = False) -> None:
        """Say how far the run is: steps, samples/s, seconds to go."""
        now = time.monotonic()
        if now - self._written < _SECONDS and not force:
            return
        self._written = now
        rate = (step - self.done_before) / max(now - self._begun, 1e-9)
        content: dict[str, Any] = {
            "schema": SCHEMA,
            "step": step,
            "total": self.total,
            "samples_per_second": round(rate * self.batch, 1),
            "eta_seconds": round((self.total - step) / rate) if rate > 0 else None,
            "loss": loss,
            "time": time.time(),
        }
        files.write_json(self.run.progress, content)


def read(run: RunDir) -> dict[str, Any] | None:
    content = files.read_json(run.progress)
    return content if isinstance(content, dict) else None
