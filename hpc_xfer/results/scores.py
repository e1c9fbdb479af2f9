"""Scores: one test accuracy per cell."""

from dataclasses import dataclass

from hpc_xfer.results.encoder_info import EncoderInfo


@dataclass(frozen=True)
class Score:
    """Test accuracy of the trial chosen in one cell."""

    encoder: EncoderInfo
    pretrain_seed: str  # empty where the encoder has none
    dataset: str
    shots: str  # "1", "5", ..., "full"
    draw: str
    mode: str
    test_top1: float | None  # share; None while the cell is incomplete
    labels: int | None = None  # images whose labels were used, to train and to choose
    n_test: int | None = None  # test images
    version_of: str = ""  # the data set, where tables tell its versions apart (test_sets.py)
