"""A study is checked as a whole before anything runs."""

from pathlib import Path

import pytest

from hpc_xfer.config.site import Site
from tests.fabricated import image_folder, source
from tests.study.preflight.checking import ANIMALS, CLIP, check, finetune, pretrain


def test_a_study_whose_data_is_there_passes(tmp_path: Path) -> None:
    sources = {"sans": str(source(tmp_path / "sans"))}
    datasets = {"animals": str(image_folder(tmp_path / "animals", cat=10, dog=12))}
    site = Site(sources=sources, datasets=datasets)
    rest = "finetune: {datasets: [animals, digits], shots: [1, 8, full], lr: 1}\n"
    assert pretrain(tmp_path, site, rest=rest) == []


def test_a_probe_on_a_data_set_that_nobody_knows_is_told(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans"))})
    asked = "resources: {{pretrain: {{probe: {{dataset: {}}}}}}}\n".format
    assert pretrain(tmp_path, site, rest=asked("digits")) == []
    assert pretrain(tmp_path, site, rest=asked("digit")) == [
        "a.yaml:4: resources.pretrain.probe.dataset: data set 'digit' is unknown; did you mean "
        "'digits'?"
    ]


def test_a_batch_that_the_gpus_cannot_share_is_told(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans"))})
    rest = "resources: {pretrain: {gpus: 8}}\n"
    assert pretrain(tmp_path, site, rest=rest) == [
        "a.yaml:3: pretrain.0.batch: 100 cannot be split evenly over 8 GPUs; make it a multiple "
        "of 8"
    ]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = f"name: x\npretrain: [{CLIP}]\nfinetune: {{{ANIMALS}}}\n"
    assert [line.split(": ")[1] for line in check(tmp_path, Site(), text)] == [
        "pretrain.0.source", "finetune.datasets.0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("batch: 1", "batch: 1 leaves clip nothing to compare an image with"),
        ("batch: 8, batchnorm: per-gpu", "batch: 8 over 8 GPUs gives batch norm the statistics"),
        ("batch: 8, accumulate: 8", "batch: 8 over 8 parts gives batch norm the statistics"),
        ("batch: 16, batchnorm: per-gpu, accumulate: 2", "batch: 16 over 8 GPUs and 2 parts gives"),
    ],
)
def test_a_batch_of_one_image_is_refused(tmp_path: Path, block: str, told: str) -> None:
    text = f"{{method: clip, arch: RN50, source: sans, samples: 20, epochs: 1, {block}}}"
    rest = "resources: {pretrain: {gpus: 8}}" if "per-gpu" in block else ""
    site = Site(sources={"sans": str(source(tmp_path / "sans"))})
    (error,) = pretrain(tmp_path, site, text, rest)
    assert told in error and "batch" in error.rpartition(";")[2]
    if block != "batch: 1":  # a transformer has no batch norm
        text = text.replace("RN50", "ViT-B-32").replace("batchnorm: per-gpu", "seed: 0")
        assert pretrain(tmp_path, site, text, rest) == []


def test_a_fine_tuning_in_batches_of_one_image_is_refused_where_there_is_batch_norm(
    tmp_path: Path,
) -> None:
    block = "{datasets: [digits], shots: [5], lr: 0.1, batch: {5: 1}}"
    (error,) = finetune(tmp_path, Site(), block)
    assert "finetune: batch: 1 gives the batch norm of RN50 the statistics of one image" in error
    for other in ("batch_norm: frozen", "mode: [knn, lp], solver: adamw"):
        given = block.replace("lr: 0.1", f"lr: 0.1, {other}")
        assert finetune(tmp_path, Site(), given) == []
