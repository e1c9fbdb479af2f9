"""The best of all epochs, chosen on the test set, and how much this choice flatters.

    selection = EpochSelection(model, logits, labels, run, claim.check)
    train(..., at=selection.hooks(epochs.steps_per_epoch, steps))
    selection.logits()     # of the best epoch
    selection.summary()    # its number, and the bias against the choice on validation images

Only `protocol: paper` chooses on the test set, to repeat what the paper did.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hpc_xfer.compute.models import weights_file
from hpc_xfer.compute.training.loop import Hook
from hpc_xfer.errors import StoreError
from hpc_xfer.store.paths import RunDir

Logits = Mapping[str, Tensor]  # by the name of a set of images, such as "val" and "test"


class EpochSelection:
    """Measures a model after each epoch, and keeps the logits of the best.

    An epoch is measured once: what an earlier attempt of the run measured stands. After each epoch
    all of it is in the file `run.epochs`, which is deleted with the checkpoints of the run. Make
    the object before the training loop reads the checkpoint.
    """

    def __init__(
        self,
        model: nn.Module,
        measure: Callable[[], Logits],
        labels: Mapping[str, Tensor],
        run: RunDir,
        check: Callable[[], None],
        select: Literal["test", "val"] = "test",
    ) -> None:
        """
        Args:
            measure: computes logits (n, classes), on the CPU, of all sets of `labels`.
            labels: (n,) by set; "val" is absent if there are no validation images.
            check: raises ClaimLost if another process has taken the run over.
            select: the set whose top-1 accuracy chooses; of equal epochs, the first.
        """
        assert select in labels
        self.model, self.measure, self.labels, self.select = model, measure, labels, select
        self.run, self.check = run, check
        self._rows: dict[int, dict[str, float]] = {}  # by step
        self._best: dict[str, Tensor] = {}
        self._ends: list[int] = []  # steps
        self._load()

    def hooks(self, steps_per_epoch: int, steps: int) -> dict[int, list[Hook]]:
        """Make the hooks of the training loop: at the end of each epoch, and after the last step.

        Args:
            steps: of the whole training, which may end within an epoch.
        """
        self._ends = [*range(steps_per_epoch, steps, steps_per_epoch), steps]
        return {step: [partial(self._after, step)] for step in self._ends}

    def logits(self) -> Logits:
        """Logits of all sets after the best epoch. Raises: as `summary`."""
        self._check_complete()
        return self._best

    def summary(self) -> dict[str, float]:
        """Say what was chosen, and compare with the choice on validation images.

        Small validation sets have many best epochs; the test accuracy by them is the mean over
        these, which no order of epochs favors.

        Raises:
            StoreError: measurements of some epochs were deleted.
        """
        self._check_complete()
        values = [self._rows[step] for step in self._ends]
        chosen = [row[self.select] for row in values]
        best = chosen.index(max(chosen))
        found = {
            "epochs_measured": len(values),
            "best_epoch": best + 1,
            "test_top1_by_test": max(row["test"] for row in values),
        }
        if "val" in self.labels:
            highest = max(row["val"] for row in values)
            tied = [row["test"] for row in values if row["val"] == highest]
            found["val_top1_by_val"] = highest
            found["test_top1_by_val"] = sum(tied) / len(tied)
            found["selection_bias"] = found["test_top1_by_test"] - found["test_top1_by_val"]
        return found

    def _after(self, step: int) -> dict[str, float]:
        """Measure the model, unless an earlier attempt did; return a row of metrics."""
        if step not in self._rows:
            logits = self._measured()
            row = {name: _top1(logits[name], labels) for name, labels in self.labels.items()}
            best = max((row[self.select] for row in self._rows.values()), default=-1.0)
            if row[self.select] > best:
                self._best = dict(logits)
            self._rows[step] = row
            self.check()
            weights_file.write(self.run.epochs, {"rows": self._rows, "best": self._best})
        return {f"{name}_top1": value for name, value in self._rows[step].items()}

    @torch.no_grad()
    def _measured(self) -> Logits:
        training = self.model.training
        self.model.eval()
        logits = self.measure()
        self.model.train(training)
        assert logits.keys() == self.labels.keys()
        return logits

    def _load(self) -> None:
        """Read what earlier attempts measured.

        A run without a checkpoint starts again, and so do its measurements. A checkpoint without
        the measurements of its epochs is useless, so both go if the file is damaged.
        """
        run = self.run
        if not (run.checkpoint.exists() or run.previous_checkpoint.exists()):
            return
        state = weights_file.read(run.epochs)
        if state is not None and self._is_kept(state.get("rows"), state.get("best")):
            self._rows, self._best = state["rows"], state["best"]
        elif run.epochs.exists():
            self.check()
            run.remove_checkpoints()

    def _is_kept(self, rows: Any, best: Any) -> bool:
        """Tell if these are measurements of each set, and logits of each of its images."""
        return (
            isinstance(rows, dict)
            and all(type(step) is int and _are_shares(row) for step, row in rows.items())
            and all(row.keys() == self.labels.keys() for row in rows.values())
            and isinstance(best, dict)
            and (best.keys() == self.labels.keys() if rows else not best)
            and all(_are_logits(best[name], len(self.labels[name])) for name in best)
        )

    def _check_complete(self) -> None:
        if missing := [step for step in self._ends if step not in self._rows]:
            raise StoreError(
                f"{self.run.epochs}: has no measurement after step {missing[0]}; delete "
                f"{self.run.checkpoint.name} and {self.run.previous_checkpoint.name} beside it and "
                "launch again"
            )


def _are_shares(row: Any) -> bool:
    return isinstance(row, dict) and all(
        type(value) is float and 0 <= value <= 1 for value in row.values()
    )


def _are_logits(value: Any, images: int) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.is_floating_point()
        and not value.is_meta
        and value.ndim == 2
        and len(value) == images
        and value.shape[1] > 0
    )


def _top1(logits: Tensor, labels: Tensor) -> float:
    return logits.argmax(dim=1).eq(labels).double().mean().item()
