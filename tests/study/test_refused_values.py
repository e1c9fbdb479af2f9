"""One sentence for each mistake in a study file."""

from pathlib import Path

import pytest

from tests.study.grid_texts import CLIP, finetune_refusal, pretrain_refusal, refusal

MANY = list(range(600))


def test_a_wrong_key_of_what_may_be_left_out_is_told_with_the_keys_that_are_there(
    tmp_path: Path,
) -> None:
    text = "name: x\npretrain: [{method: scratch, arch: RN50}]\n"
    text += "resources: {pretrain: {probe: {dataset: a, imags: 1}}}\n"
    assert refusal(tmp_path, text) == [
        "a.yaml:3: resources.pretrain.probe.imags: unknown key; did you mean 'images'?"
    ]


def test_all_mistakes_are_told_at_once_each_with_line_path_and_way_out(tmp_path: Path) -> None:
    text = """\
nmae: x
pretrain:
  - method: clip
    arch: RN51
    source: laion
    samples: 8000
    epochs: 2
    lr: [1e-3, -0.1]
    sede: 1
  - method: simclip
  - method: clip
    arch: RN50
    source: 3
    samples: 8q
    batch: 1.5
  - 7
  - method: scratch
    arch: resnet50
finetune:
  datasets: [pets]
  shot: [1]
  tune: {lr: [1e-3]}
resources:
  pretrain: {gpu: 8, minutes: 0}
  finetune: {gpus: 2}
"""
    assert refusal(tmp_path, text) == [
        "a.yaml:1: nmae: unknown key; did you mean 'name'?",
        "a.yaml:4: pretrain.0.arch: no architecture is called 'RN51'; did you mean 'RN50'?",
        "a.yaml:8: pretrain.0.lr.1: must be greater than 0, got -0.1",
        "a.yaml:9: pretrain.0.sede: unknown key; did you mean 'seed'?",
        "a.yaml:10: pretrain.1.method: no method is called 'simclip'; did you mean 'simclr'?",
        "a.yaml:11: pretrain.2: is missing epochs (or samples_seen); add a line `epochs: ...`",
        "a.yaml:13: pretrain.2.source: must be a word or a mapping, got 3",
        "a.yaml:14: pretrain.2.samples: must be a whole number, got '8q'",
        "a.yaml:15: pretrain.2.batch: must be a whole number, got 1.5",
        "a.yaml:16: pretrain.3: must be a mapping, got 7",
        "a.yaml:18: pretrain.4.arch: no architecture is called 'resnet50'; did you mean "
        "'torchvision/resnet50'?",
        "a.yaml:21: finetune.shot: unknown key; did you mean 'shots'?",
        "a.yaml:22: finetune.tune.lr: has one value, which leaves no choice; write `lr: 0.001` "
        "instead",
        "a.yaml:24: resources.pretrain.minutes: must be greater than 0, got 0",
        "a.yaml:24: resources.pretrain.gpu: unknown key; did you mean 'gpus'?",
        "a.yaml:25: resources.finetune.gpus: must be at most 1, got 2",
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("epochs: 2", "epochs: 0", "epochs: must be a number greater than 0, got 0"),
        ("epochs: 2", "epochs: .nan", "epochs: must be a number greater than 0, got NaN"),
        ("epochs: 2", "epochs: .inf", "epochs: must be a number greater than 0, got Infinity"),
        ("epochs: 2", "epochs: many", "epochs: must be a number greater than 0, got 'many'"),
        ("epochs: 2", "epochs: null", "epochs: must be a number greater than 0, got null"),
        (
            "epochs: 2", "epochs: 1e-9",
            "epochs: is too small: 1e-09 epochs of 8000 samples are less than one sample; raise it",
        ),
        (
            "epochs: 2", "epochs: 2, samples_seen: 5",
            "epochs: sets the length of the training, as samples_seen does; keep one of the two",
        ),
        ("epochs", "lr: .inf, epochs", "lr: must be a finite number, got Infinity"),
        ("epochs", "lr: .nan, epochs", "lr: must be a finite number, got NaN"),
        (
            "epochs", "lr: '1e-3', epochs",
            "lr: must be a number, got '1e-3'; write 1e-3 without quotes",
        ),
        ("epochs", "lr: true, epochs", "lr: must be a number, got true"),
        ("epochs", "seed: true, epochs", "seed: must be a whole number, got true"),
        ("epochs", "seed: -1, epochs", "seed: must be at least 0, got -1"),
        ("epochs", "flip: yes, epochs", "flip: must be true or false, got 'yes'"),
        (
            "epochs", "precision: x, epochs",
            "precision: must be 'fp32', 'tf32', 'bf16' or 'fp16', got 'x'",
        ),
        ("epochs", "betas: [0.9], epochs", "betas: must be a list of 2, got [0.9]"),
        ("epochs", "betas: 0.9, epochs", "betas: must be a list of 2, got 0.9"),
        ("epochs", "crop: 3, epochs", "crop: must be a mapping, got 3; its keys are: ratio, scale"),
        ("epochs", "crop: {scael: 1}, epochs", "crop.scael: unknown key; did you mean 'scale'?"),
        (
            "epochs", "crop: {scale: [1, 0.5]}, epochs",
            "crop: scale and ratio must each be [smallest, largest], and scale above 0",
        ),
        ("8000", ".inf", "samples: must be a whole number, got Infinity"),
        ("8000", ".nan", "samples: must be a whole number, got NaN"),
        ("8000", "1e300", "samples: must be at most 1000000000000000, got 1e+300"),
        ("8000", "true", "samples: must be a whole number, got true"),
        ("8000", "[]", "samples: an empty list leaves no run; give it a value"),
        ("arch: RN50", "arch: [RN50, 3]", "arch.1: must be a name or a JSON file, got 3"),
        (
            "source: laion", 'source: "la\\nion"',
            r"source: 'la\nion' contains a control character; remove it",
        ),
        (
            "source: laion", 'source: "la\\ud83dion"',
            r'source: "la\ud83dion" contains half a character of UTF-16; remove it',
        ),
        ("source: laion, ", "", "source: is missing; add a line `source: ...`"),
        (
            "clip", "[clip, simclr]",
            "method: cannot be an axis, since methods differ in their keys; write two blocks",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_gets_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert pretrain_refusal(tmp_path, CLIP.replace(old, new)) == [
        f"a.yaml:3: pretrain.0.{sentence}"
    ]


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        (
            CLIP.replace("100", "9000"),
            "batch 9000 is larger than samples 8000, which gives zero steps per epoch; lower batch",
        ),
        (
            CLIP.replace("laion", "[{a: 1, b: 1}, {b: 2, a: 2}]"),
            "makes the same run twice; remove one",
        ),
        (
            "{arch: RN50}",
            "is missing its method; add `method: ...`, one of clip, released, scratch, siglip, "
            "simclr, supervised",
        ),
        (
            CLIP.replace("epochs", f"seed: {MANY}, subset_seed: {MANY}, epochs"),
            "expands to 360,000 runs; shorten an axis to stay below 200,000",
        ),
    ],
)  # fmt: skip
def test_a_wrong_block_gets_one_sentence(tmp_path: Path, block: str, sentence: str) -> None:
    assert pretrain_refusal(tmp_path, block) == [f"a.yaml:3: pretrain.0: {sentence}"]


def test_two_blocks_that_make_the_same_run_are_refused(tmp_path: Path) -> None:
    text = f"name: x\npretrain:\n  - {CLIP}\n  - {CLIP.replace('epochs: 2', 'samples_seen: 16e3')}"
    assert refusal(tmp_path, text) == [
        "a.yaml:4: pretrain.1: makes a run that pretrain.0 makes too; remove one"
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("shots: [all]", "shots.0: must be a whole number or 'full', got 'all'"),
        ("shots: [1, 0]", "shots.1: must be greater than 0 or 'full', got 0"),
        ("shots: [1.5]", "shots.0: must be a whole number or 'full', got 1.5"),
        ("shots: [true]", "shots.0: must be a whole number or 'full', got true"),
        ("shots: '1, full'", "shots: must be a list, got '1, full'; write [1, full]"),
        ("shots: []", "shots: is empty; give it a value"),
        ("shots: [1, 1]", "shots: has 1 twice; keep one"),
        ("datasets: {pets: 1}", 'datasets: must be a list, got {"pets": 1}'),
        ("datasets: [a, a]", "datasets: has 'a' twice; keep one"),
        (
            "datasets: ['a b']",
            "datasets.0: 'a b' is not a data set name; use letters, digits, - and _",
        ),
        ("mode: [ft, lpft]", "mode.1: unknown mode 'lpft'; did you mean 'lp-ft'?"),
        ("draws: many", "draws: must be a whole number or a mapping, got 'many'"),
        ("draws: {1: 0}", "draws.1: must be greater than 0, got 0"),
        ("draws: {5: 3}", "draws: has no value for 1 shots; add `1: ...`"),
        ("draws: 1e9", "expands to 2,000,000,000 runs; shorten an axis to stay below 200,000"),
        ("epochs: {5: 3}", "epochs: has no value for 1 shots; add `1: ...`"),
        ("epochs: {1: 0}", "epochs.1: must be greater than 0, got 0"),
        (
            "tune: {lr: 1e-3}",
            "tune.lr: has one value, which leaves no choice; write `lr: 0.001` instead",
        ),
        ("tune: {lr: []}", "tune.lr: has no value, which leaves no choice; give two or more"),
        ("tune: {lr: [1e-3, 1e-3]}", "tune.lr: has 0.001 twice; keep one"),
        ("tune: {lr: [1e-3, x]}", "tune.lr.1: must be a number, got 'x'"),
        ("lr: 1e-3", "lr: is tuned in tune.lr already; keep one of the two"),
        (
            "tune: {epochs: [1, 2]}",
            "has no learning rate; add `tune: {lr: [1e-4, 3e-4, 1e-3, 3e-3]}` or `lr: ...`",
        ),
        (
            "tune: {lr: [1e-3, 1e-4], batch: [1, 2]}",
            "tune.batch: cannot be tuned; the keys that can be tuned are: epochs, lr, weight_decay",
        ),
        (
            "epochs: [1, 2]",
            "epochs: must be one value per block, got [1, 2]; to compare several, write "
            "`tune: {epochs: ...}`",
        ),
        (
            "batch: [32, 64]",
            "batch: must be one value per block, got [32, 64]; to compare several, write two "
            "blocks",
        ),
        ("dataset: a", "dataset: unknown key; did you mean 'datasets'?"),
        ("val_fraction: 1", "val_fraction: must be less than 1, got 1"),
        ("crop: {ratio: [1, 2, 3]}", "crop.ratio: must be a list of 2, got [1, 2, 3]"),
    ],
)  # fmt: skip
def test_a_wrong_fine_tuning_gets_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    keys = {"datasets": "[a]", "shots": "[1]", "tune": "{lr: [1e-3, 1e-4]}"}
    key, _, value = text.partition(": ")
    block = ", ".join(f"{k}: {v}" for k, v in {**keys, key: value}.items())
    dot = "." if sentence.partition(":")[0].partition(".")[0] == key else ": "
    assert finetune_refusal(tmp_path, f"{{{block}}}") == [f"a.yaml:3: finetune{dot}{sentence}"]


def test_mistakes_in_a_list_of_blocks_name_the_block(tmp_path: Path) -> None:
    good = "{datasets: [a], shots: [1], lr: 1}"
    assert finetune_refusal(tmp_path, f"\n  - {good}\n  - 3\n  - {good}\n  - {{shots: [1]}}") == [
        "a.yaml:5: finetune.1: must be a mapping, got 3; write {datasets: ..., shots: ...}",
        "a.yaml:6: finetune.2: makes trials that an earlier block makes too; remove them here",
        "a.yaml:7: finetune.3.datasets: is missing; add a line `datasets: ...`",
    ]


def test_minutes_by_shots_must_name_each_of_them(tmp_path: Path) -> None:
    text = "{datasets: [a], shots: [1, full], lr: 1}\nresources: {finetune: {minutes: {1: 20}}}"
    assert finetune_refusal(tmp_path, text) == [
        "a.yaml:4: resources.finetune.minutes: has no value for full shots; add `full: ...`"
    ]
    text = text.replace("{1: 20}", "{1: x, full: 3}")
    assert finetune_refusal(tmp_path, text) == [
        "a.yaml:4: resources.finetune.minutes.1: must be a number, got 'x'"
    ]
    assert finetune_refusal(tmp_path, text.replace("{1: x, full: 3}", "soon")) == [
        "a.yaml:4: resources.finetune.minutes: must be a number or a mapping, got 'soon'"
    ]


def test_a_product_of_pre_trainings_and_trials_that_is_a_slip_is_refused(tmp_path: Path) -> None:
    text = f"name: x\npretrain: [{CLIP.replace('epochs', 'seed: SEEDS, epochs')}]\n"
    text += "finetune: {datasets: [a], shots: [1], draws: 1000, lr: 1}\n"
    assert refusal(tmp_path, text.replace("SEEDS", str(list(range(300))))) == [
        "a.yaml:3: finetune: expands to 300,300 runs; shorten an axis to stay below 200,000"
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a/b", "'a/b' cannot name a folder; use letters, digits, _, - and ., at most 64"),
        ("..", "'..' cannot name a folder; use letters, digits, _, - and ., at most 64"),
        ("7", "must be a word, got 7; write '7' in quotes"),
        ("on off", "'on off' cannot name a folder; use letters, digits, _, - and ., at most 64"),
    ],
)
def test_a_study_is_named_as_a_folder_can_be(tmp_path: Path, name: str, sentence: str) -> None:
    assert refusal(tmp_path, f"name: {name}\npretrain: [{CLIP}]\n") == [
        f"a.yaml:1: name: {sentence}"
    ]


def test_a_line_break_in_the_name_of_a_study_reaches_no_batch_script(tmp_path: Path) -> None:
    [told] = refusal(tmp_path, f'name: "a\\n#SBATCH --uid=0"\npretrain: [{CLIP}]\n')
    assert told.startswith(r"a.yaml:1: name: 'a\n#SBATCH --uid=0' cannot name a folder")
