"""Rows of metrics: one JSON line and one point of each TensorBoard curve per logged step."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from hpc_xfer import files
from hpc_xfer.store import RunDir


class Rows:
    """metrics.jsonl and TensorBoard, without rows of steps that a resumed run does again."""

    def __init__(self, run: RunDir, tensorboard: bool, leads: bool, first: int) -> None:
        self.path: Path | None = run.metrics if leads else None
        self.board: SummaryWriter | None = None
        if self.path is None:
            return
        if self.path.exists():
            kept = [row for row in _lines(self.path) if row["step"] <= first]
            files.write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        if tensorboard:
            self.board = SummaryWriter(str(run.tensorboard), purge_step=first + 1)

    def write(self, step: int, loss: float, lr: float, rate: float, batch: int) -> None:
        if self.path is None:
            return
        row = {
            "step": step,
            "samples": step * batch,
            "loss": loss,
            "lr": lr,
            "samples_per_second": rate,
        }
        files.append_line(self.path, json.dumps(row))
        if self.board is not None:
            for name in ("loss", "lr", "samples_per_second"):
                self.board.add_scalar(f"train/{name}", row[name], step)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows that are whole; the last may be cut."""
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return
