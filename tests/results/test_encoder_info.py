"""Columns of encoders: settings that only some pre-trainings have tell rows apart."""

from pathlib import Path

from hpc_xfer.results.answers.axes import comparisons
from hpc_xfer.results.encoder_info import encoders_of, setting_columns
from tests.fabricated import make

GRID = """
name: starts
pretrain:
  - {method: clip, arch: ViT-B-32, source: laion, samples: 8000, epochs: 1, batch: 100,
     init: [null, openai], patch_dropout: [null, 0.5]}
  - {method: simclr, arch: ViT-B-32, source: laion, samples: 8000, epochs: 1, batch: 100}
  - {method: scratch, arch: ViT-B-32}
"""

BATCHNORM = "batchnorm: [global, per-gpu]"


def test_weights_to_start_from_make_columns_and_comparisons(tmp_path: Path) -> None:
    encoders = list(encoders_of(make(tmp_path, GRID)[1]).values())
    rows = {
        encoder.label: [
            dict(encoder.settings).get(f"pretrain_{n}") for n in ("init", "patch_dropout")
        ]
        for encoder in encoders
    }
    assert rows == {
        "clip laion 8k patch_dropout=none init=none": ["none", "none"],
        "clip laion 8k patch_dropout=0.5 init=none": ["none", "0.5"],
        "clip laion 8k patch_dropout=none init=openai": ["openai", "none"],
        "clip laion 8k patch_dropout=0.5 init=openai": ["openai", "0.5"],
        "simclr laion 8k": ["none", "none"],
        "scratch": [None, None],
    }
    assert {"pretrain_init", "pretrain_patch_dropout"} <= set(setting_columns(encoders))
    found = {(each.axis, level) for each in comparisons(encoders) for _, level in each.levels}
    assert {("init", "openai"), ("init", "none"), ("patch_dropout", "0.5")} <= found


def test_what_all_pretrainings_share_is_no_column(tmp_path: Path) -> None:
    grid = GRID.replace("[null, openai]", "openai").replace("[null, 0.5]", "0.5")
    labels = {encoder.label for encoder in encoders_of(make(tmp_path, grid)[1]).values()}
    assert labels == {"clip laion 8k", "simclr laion 8k", "scratch"}


def test_a_method_that_starts_from_weights_is_not_equal_to_one_that_does_not(
    tmp_path: Path,
) -> None:
    grid = GRID.replace("[null, openai]", "openai").replace("[null, 0.5]", "null")
    encoders = encoders_of(make(tmp_path, grid)[1]).values()
    found = {encoder.method: dict(encoder.settings).get("pretrain_init") for encoder in encoders}
    assert found == {"clip": "openai", "simclr": "none", "scratch": None}


def test_batch_norm_per_gpu_is_compared_as_one_setting(tmp_path: Path) -> None:
    """The number of GPUs comes with it, and is no second difference."""
    grid = GRID.replace("init: [null, openai], patch_dropout: [null, 0.5]", BATCHNORM)
    grid = grid.replace("ViT-B-32", "RN50")
    encoders = list(encoders_of(make(tmp_path, grid)[1]).values())
    assert {encoder.label for encoder in encoders if encoder.method == "clip"} == {
        "clip laion 8k batchnorm=none",
        "clip laion 8k batchnorm=per-gpu",
    }
    axes = {each.axis: {level for _, level in each.levels} for each in comparisons(encoders)}
    assert axes["batchnorm"] == {"none", "per-gpu"}


def test_kept_snapshots_are_no_difference(tmp_path: Path) -> None:
    grid = """
name: kept
pretrain:
  - {method: clip, arch: ViT-B-32, source: laion, samples: 8000, epochs: 1, batch: 100,
     snapshots: [[4000]]}
  - {method: clip, arch: ViT-B-32, source: laion, samples: 9000, epochs: 1, batch: 100}
"""
    encoders = encoders_of(make(tmp_path, grid)[1]).values()
    assert len(encoders) == 3
    assert not any(encoder.settings for encoder in encoders)


def test_mixtures_are_levels_of_the_source_and_selections_an_axis_of_their_own(
    tmp_path: Path,
) -> None:
    source = "source: [laion, {laion: 1, yfcc: 1}], select: [null, {best: {score: 0.3}}]"
    grid = GRID.replace("source: laion", source, 1)
    grid = grid.replace("init: [null, openai], patch_dropout: [null, 0.5]", "lr: 1e-3")
    encoders = list(encoders_of(make(tmp_path, grid)[1]).values())
    axes = {each.axis: {level for _, level in each.levels} for each in comparisons(encoders)}
    assert axes["source"] == {"laion", "laion+yfcc"}
    assert axes["select"] == {"none", "best 30% score"}
