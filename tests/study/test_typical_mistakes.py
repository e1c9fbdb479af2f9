"""Each mistake of a new user gets one sentence: the mistake, not what follows from it."""

from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.study.study_file import load_study

GRID = """\
name: mine
pretrain:
  - method: clip
    arch: RN50
    source: laion
    samples: [1M, 2.7M]
    epochs: 16
    batch: 1024
  - {method: scratch, arch: RN50}
finetune:
  datasets: [pets, dtd]
  shots: [1, 5, full]
  mode: [ft, zeroshot]
  tune: {lr: [1e-3, 1e-4]}
resources:
  pretrain: {gpus: 8, minutes: 24h}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("name:", "Name:", "1: Name: unknown key; did you mean 'name'?"),
        ("pretrain:\n", "pretrian:\n", "2: pretrian: unknown key; did you mean 'pretrain'?"),
        ("finetune:", "fine-tune:", "10: fine-tune: unknown key; did you mean 'finetune'?"),
        ("resources:", "resource:", "15: resource: unknown key; did you mean 'resources'?"),
        (
            "resources:", "x: 3\nresources:",
            "15: x: unknown key; the keys here are: choose, defaults, facts, finetune, name, "
            "pretrain, protocol, question, resources, set",
        ),
        ("method: clip", "metod: clip", "3: pretrain.0.metod: unknown key; did you mean 'method'?"),
        (
            "method: clip", "method: clpi",
            "3: pretrain.0.method: no method is called 'clpi'; did you mean 'clip'?",
        ),
        ("samples:", "sampels:", "6: pretrain.0.sampels: unknown key; did you mean 'samples'?"),
        ("epochs:", "epoch:", "7: pretrain.0.epoch: unknown key; did you mean 'epochs'?"),
        ("source:", "dataset:", "5: pretrain.0.dataset: unknown key; did you mean 'source'?"),
        ("arch: RN50\n", "model: RN50\n", "4: pretrain.0.model: unknown key; did you mean 'arch'?"),
        ("batch:", "batch_size:", "8: pretrain.0.batch_size: unknown key; did you mean 'batch'?"),
        ("datasets:", "dataset:", "11: finetune.dataset: unknown key; did you mean 'datasets'?"),
        ("shots:", "shot:", "12: finetune.shot: unknown key; did you mean 'shots'?"),
        ("gpus:", "gpu:", "16: resources.pretrain.gpu: unknown key; did you mean 'gpus'?"),
        ("minutes:", "time:", "16: resources.pretrain.time: unknown key; did you mean 'minutes'?"),
        (
            "[1, 5, full]", "1, 5, full",
            "12: finetune.shots: must be a list, got '1, 5, full'; write [1, 5, full]",
        ),
        (
            "[1M, 2.7M]", "1M, 2.7M",
            "6: pretrain.0.samples: must be a whole number, got '1M, 2.7M'; for several, write "
            "[1M, 2.7M]",
        ),
        (
            "16", "16k,",
            "7: pretrain.0.epochs: must be a number greater than 0, got '16k,'; remove the comma",
        ),
        (
            "1024", "1024,",
            "8: pretrain.0.batch: must be a whole number, got '1024,'; remove the comma",
        ),
        (
            "1024", "1k",
            "8: pretrain.0.batch: '1k' is ambiguous: 1,000 or 1,024; write the number in digits",
        ),
        (
            "1M", "1m",
            "6: pretrain.0.samples.0: '1m' is ambiguous: m can mean 1 million or 1 thousandth; "
            "write 1M for 1 million",
        ),
        (
            "24h", "1:30",
            "16: resources.pretrain.minutes: '1:30' is ambiguous: 1h30m, or 1m30s as sbatch reads "
            "it; write one of these two",
        ),
        (
            "[ft, zeroshot]", "finetune",
            "13: finetune.mode: unknown mode 'finetune'; did you mean 'ft'?",
        ),
        (
            "{lr: [1e-3, 1e-4]}", "{learning_rate: [1e-3, 1e-4]}",
            "14: finetune.tune.learning_rate: cannot be tuned; did you mean 'lr'?",
        ),
        (
            "tune: {lr: [1e-3, 1e-4]}", "lr: [1e-3, 1e-4]",
            "14: finetune.lr: must be one value per block, got [0.001, 0.0001]; to compare "
            "several, write `tune: {lr: ...}`",
        ),
        (
            "    epochs: 16\n", "",
            "3: pretrain.0: is missing epochs (or samples_seen); add a line `epochs: ...`",
        ),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_sentence(right: str, wrong: str, sentence: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(Path("a.yaml"), GRID.replace(right, wrong, 1))
    assert str(caught.value).splitlines() == [f"a.yaml:{sentence}"]


def test_a_misspelt_key_does_not_hide_another_mistake() -> None:
    text = GRID.replace("sampels", "samples").replace("samples: [1M, 2.7M]", "sampels: [1M, x]")
    with pytest.raises(StudyError) as caught:
        load_study(Path("a.yaml"), text.replace("gpus: 8", "gpus: 0"))
    assert str(caught.value).splitlines() == [
        "a.yaml:6: pretrain.0.sampels: unknown key; did you mean 'samples'?",
        "a.yaml:6: pretrain.0.sampels.1: must be a whole number, got 'x'",
        "a.yaml:16: resources.pretrain.gpus: must be greater than 0, got 0",
    ]
