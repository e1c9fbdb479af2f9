"""Words that tables, sentences and figures share: shots, modes, data sets, scratch."""

from hpc_xfer.results.averages import MEAN

FULL = "full"  # shots: all training images
_MODES = {
    "ft": "fine-tuning",
    "lp": "linear probe",
    "lp-ft": "linear probe, then fine-tuning",
    "knn": "nearest neighbors",
    "zeroshot": "zero-shot",
}


def shot_order(shots: str) -> tuple[bool, int]:
    """Return a sort key: 1, 5, 10, ..., full."""
    return (True, 0) if shots == FULL else (False, int(shots))


def shots_text(shots: str) -> str:
    """Write `1 shot`, `5 shots`, `full data` or `zero-shot`."""
    return {FULL: "full data", "1": "1 shot", "0": "zero-shot"}.get(shots, f"{shots} shots")


def mode_words(mode: str) -> str:
    """Write `fine-tuning (ft)`; a mode with settings in its name stays as it is."""
    return f"{_MODES[mode]} ({mode})" if mode in _MODES else mode


def dataset_words(dataset: str, datasets: int = 0) -> str:
    """Name a data set, or their mean: `mean of 6 data sets`, `mean of data sets`."""
    if dataset != MEAN:
        return dataset
    return f"mean of {datasets} data sets" if datasets > 1 else "mean of data sets"


def scratch_words(mode: str) -> str:
    """Name scratch in a mode: a probe trains no encoder, so there it is no training.

    Args:
        mode: with or without settings: `lp`, `lp liblinear`, `ft (paper protocol)`.
    """
    kind = mode.split()[0]
    if kind in ("lp", "knn"):
        return "a probe of the untrained encoder"
    return "the untrained encoder" if kind == "zeroshot" else "training from scratch"
