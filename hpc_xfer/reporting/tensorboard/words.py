"""Words about the results in TensorBoard, which has no place for them beside a curve."""

from hpc_xfer.reporting.tensorboard.shot_steps import ShotSteps
from hpc_xfer.results.answers.terms import dataset_words
from hpc_xfer.results.averages import MEAN
from hpc_xfer.system.screen.plain_text import plain

_ABOUT = """\
**results/curves**: mean test accuracy over draws and seeds against shots, as in averages.csv. One
run per encoder; one chart per mode and data set. The step is the number of shots, the labeled
images per class. Set *Smoothing* to 0: otherwise few points are drawn too low.

**results/finetuning**: HParams, one row per encoder, data set and mode; accuracy at each number of
shots, and the values that most cells chose. Filter `kind` to see them alone.

**results/pretraining**: HParams, one row per pre-training. The step is the samples seen.
"""
_FULL = """\
Full data are at the training images per class; where these are not known, or not above all shots,
at the next power of ten:
"""


def _code(name: str) -> str:
    """Put a name between backticks, which Markdown shows as it is."""
    return f"`{plain(name.replace('`', chr(39)))}`"


def about(steps: ShotSteps) -> str:
    """Explain the results, and say at which step full data are."""
    lines = [
        f"- {dataset_words(name) if name == MEAN else _code(name)}: {step}"
        for name, step in steps.full.items()
    ]
    if not lines:
        return _ABOUT
    return "\n".join([_ABOUT, _FULL, *lines, ""])
