"""The reported loss: the mean over the last steps of a run, without the first ones.

    average = LossAverage(schedule.steps, schedule.precision, device)
    average.add(loss)                  # of each step; nothing waits for the GPU
    float(average.mean())

It is `loss` of metrics.jsonl, TensorBoard and progress.json, `train_loss` of a fine-tuning and
`final_loss` of a pre-training. It averages the last 50 steps, in runs of less than 500 steps the
last tenth. A mean that fades out would keep a third of the first loss after 50 steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_MOST_STEPS = 50
_SHARE = 10  # one part in so many of a short run
_PATIENCE = 16  # infinite losses in a row; 16 halvings take the fp16 scale from 2^16 to 1


def averaged_steps(steps: int) -> int:
    """Count the last steps that the loss of a run of `steps` steps is a mean over."""
    return max(1, min(_MOST_STEPS, steps // _SHARE))


class LossAverage:
    """Mean of the last losses of this rank on the device; it also notices divergence.

    From the first infinite or NaN loss on it is not finite. Under fp16, where steps with infinite
    gradients are skipped, such losses do not count, unless there are 16 in a row.
    """

    def __init__(
        self, steps: int, precision: str, device: torch.device, before: Sequence[float] = ()
    ) -> None:
        """
        Args:
            steps: of the whole run.
            before: the last losses of an earlier attempt, from `recent`.
        """
        self._fp16 = precision == "fp16"
        self._steps = averaged_steps(steps)
        kept = list(before)[-self._steps :]
        unfilled = [float("nan")] * (self._steps - len(kept))
        self._recent = torch.tensor([*unfilled, *kept], device=device)
        self._broken = torch.zeros((), device=device)  # NaN once a loss was not finite
        self._overflows = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, loss: Tensor) -> None:
        """Take in the detached loss of one more step."""
        shifted = torch.cat((self._recent[1:], loss.reshape(1)))
        if not self._fp16:
            self._recent = shifted
            self._broken = self._broken + 0 * loss
            return
        finite = loss.isfinite()
        self._overflows = torch.where(finite, 0, self._overflows + 1)
        self._recent = torch.where(finite, shifted, self._recent)
        self._broken = torch.where(self._overflows < _PATIENCE, 0.0, loss)

    def mean(self) -> Tensor:
        """Return the mean over the last steps, as far as there are any."""
        return self._recent.nanmean() + self._broken

    def recent(self) -> list[float]:
        """Return the losses that the mean is over, the last one last."""
        return [value for value in self._recent.tolist() if value == value]
