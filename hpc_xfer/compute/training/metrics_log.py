"""Log of metrics: per logged step one JSON line and one point of each TensorBoard curve.

The curves are drawn against samples seen, which compares runs of different batches.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files

_MOST_BYTES = 1 << 30  # of the rows of a run; one has 300


class MetricsLog:
    """Write metrics.jsonl and TensorBoard; drop rows of steps that a resumed run does again."""

    def __init__(
        self, run: RunDir, tensorboard: bool, is_rank_zero: bool, first: int, batch: int
    ) -> None:
        self.path: Path | None = run.metrics if is_rank_zero else None
        self.batch = batch
        self.board: SummaryWriter | None = None
        if self.path is None:
            return
        if self.path.exists():
            kept = [row for row in _lines(self.path) if row["step"] <= first]
            atomic_files.write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        if tensorboard:
            atomic_files.make_folder(run.tensorboard)
            self.board = SummaryWriter(
                str(run.tensorboard),
                purge_step=first * batch + 1,
                # Else its name can be told beforehand, and a link put there.
                filename_suffix=f".{os.urandom(8).hex()}",
            )
            if first == 0:
                self.board.add_text("recipe", _block(atomic_files.read_json(run.recipe)), 0)

    def write(self, step: int, values: Mapping[str, float | None], group: str = "train") -> None:
        """Write one row, without the values that are None; write nothing if no value is left.

        Args:
            group: of curves, in TensorBoard.
        """
        if self.path is None:
            return
        known = {name: value for name, value in values.items() if value is not None}
        if not known:
            return
        samples = step * self.batch
        row = {"step": step, "samples": samples, **known}
        atomic_files.append_line(self.path, json.dumps(row))
        if self.board is not None:
            for name, value in known.items():
                # Older runs have curves against steps, named f"{group}/{name}".
                self.board.add_scalar(f"{group}, by samples/{name}", value, samples)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def _block(content: Any) -> str:
    """A Markdown block of JSON."""
    return f"```json\n{json.dumps(content, indent=2, sort_keys=True)}\n```"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete rows; a killed process may have cut the last one, and an odd one ends them."""
    text = atomic_files.read_bytes(path, _MOST_BYTES).decode("utf-8", errors="replace")
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            return
        yield row
