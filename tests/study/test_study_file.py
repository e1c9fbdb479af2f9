"""A grid file becomes recipes, or one sentence for each mistake in it."""

import json
import time
from pathlib import Path

import pytest

from hpc_xfer.config.finetune_recipes import FullFinetune
from hpc_xfer.config.recipes import Clip, SimCLR
from hpc_xfer.errors import StudyError
from hpc_xfer.study.plan import Run
from hpc_xfer.study.study_file import Study, load_study

MANY = list(range(600))
CLIP = "{method: clip, arch: RN50, source: laion, samples: 8000, epochs: 2, batch: 100}"
GLYPH = {"embed_dim": 8, "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32}}


def load(folder: Path, text: str) -> Study:
    path = folder / "a.yaml"
    path.write_text(text)
    return load_study(path)


def refusal(folder: Path, text: str) -> list[str]:
    """The sentences, with the folder cut off."""
    with pytest.raises(StudyError) as caught:
        load(folder, text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def pretrain(folder: Path, text: str) -> Study:
    return load(folder, f"name: x\npretrain: [{text}]\n")


def pretrain_refusal(folder: Path, text: str) -> list[str]:
    """Of a block that stands in line 3 as pretrain.0."""
    return refusal(folder, f"name: x\npretrain:\n  - {text}\n")


def finetune(folder: Path, text: str) -> Study:
    return load(folder, f"name: x\npretrain: [{CLIP}]\nfinetune: {text}\n")


def finetune_refusal(folder: Path, text: str) -> list[str]:
    """Of a block that stands in line 3 as finetune."""
    return refusal(folder, f"name: x\npretrain: [{CLIP}]\nfinetune: {text}\n")


def test_lists_are_axes_and_a_block_expands_to_their_product(tmp_path: Path) -> None:
    block = CLIP.replace("8000", "[1_000, 1e4]").replace("epochs: 2", "epochs: 2, seed: [0, 1, 2]")
    recipes = pretrain(tmp_path, block).pretrains
    assert [(r.samples, r.seed) for r in recipes if isinstance(r, Clip)] == [
        (1000, 0), (1000, 1), (1000, 2), (10000, 0), (10000, 1), (10000, 2),
    ]  # fmt: skip


def test_batch_norm_per_gpu_takes_the_number_of_gpus_into_the_recipe(tmp_path: Path) -> None:
    """Since it decides the result: with another number it is another run."""
    block = CLIP.replace("epochs", "batchnorm: [global, per-gpu], epochs")
    ids = {}
    for gpus in (4, 8):
        grid = f"name: x\npretrain: [{block}]\nresources: {{pretrain: {{gpus: {gpus}}}}}\n"
        plain, own = load(tmp_path, grid).pretrains
        assert isinstance(plain, Clip) and isinstance(own, Clip)
        assert (plain.batchnorm, plain.ranks) == (None, None)
        assert (own.batchnorm, own.ranks) == ("per-gpu", gpus)
        ids[gpus] = [Run("pretrain", recipe).id for recipe in (plain, own)]
    assert ids[4][0] == ids[8][0] == Run("pretrain", pretrain(tmp_path, CLIP).pretrains[0]).id
    assert ids[4][1] != ids[8][1]


def test_batch_norm_is_no_setting_of_an_encoder_without_it(tmp_path: Path) -> None:
    """It would make the same run twice. The projection of SimCLR has batch norm."""
    block = CLIP.replace("epochs", "batchnorm: per-gpu, epochs").replace("RN50", "ViT-B-32")
    assert pretrain_refusal(tmp_path, block) == [
        "a.yaml:3: pretrain.0.batchnorm: ViT-B-32, a vision transformer, has no batch norm; remove "
        "batchnorm"
    ]
    assert pretrain(tmp_path, block.replace("clip", "simclr")).pretrains


def test_the_number_of_ranks_is_no_key_of_a_grid(tmp_path: Path) -> None:
    block = CLIP.replace("epochs", "batchnorm: per-gpu, ranks: 4, epochs")
    assert pretrain_refusal(tmp_path, block) == [
        "a.yaml:3: pretrain.0.ranks: is resources.pretrain.gpus where batchnorm is per-gpu; "
        "leave it out"
    ]


def test_a_setting_that_is_a_list_is_no_axis_and_a_list_of_such_is_one(tmp_path: Path) -> None:
    one = pretrain(tmp_path, CLIP.replace("epochs", "betas: [0.9, 0.98], epochs"))
    two = pretrain(tmp_path, CLIP.replace("epochs", "betas: [[0.9, 0.98], [0.9, 0.999]], epochs"))
    assert [r.betas for r in one.pretrains if isinstance(r, Clip)] == [(0.9, 0.98)]
    assert [r.betas for r in two.pretrains if isinstance(r, Clip)] == [(0.9, 0.98), (0.9, 0.999)]
    crops = pretrain(tmp_path, CLIP.replace("epochs", "crop: [{scale: [0.5, 1]}, {}], epochs"))
    scales = [r.crop.scale for r in crops.pretrains if isinstance(r, Clip)]
    assert scales == [(0.5, 1.0), (0.9, 1.0)]


def test_epochs_is_a_way_to_say_samples_seen(tmp_path: Path) -> None:
    [by_epochs] = pretrain(tmp_path, CLIP).pretrains
    [by_samples] = pretrain(tmp_path, CLIP.replace("epochs: 2", "samples_seen: 16000")).pretrains
    assert by_epochs == by_samples
    [half] = pretrain(tmp_path, CLIP.replace("epochs: 2", "epochs: 0.5")).pretrains
    assert isinstance(half, Clip) and half.samples_seen == 4000


def test_methods_bring_their_own_defaults(tmp_path: Path) -> None:
    [recipe] = pretrain(tmp_path, CLIP.replace("clip", "simclr")).pretrains
    assert isinstance(recipe, SimCLR)
    assert (recipe.betas, recipe.temperature, recipe.flip) == ((0.9, 0.98), 0.1, True)


def test_trials_are_data_sets_by_modes_by_shots_by_draws_by_tuned_values(tmp_path: Path) -> None:
    text = "{datasets: [a, b], shots: [1, full], draws: {1: 3, full: 1}, mode: [ft, lp], "
    text += "epochs: {1: 30, full: 2}, tune: {lr: [1e-4, 1e-3], weight_decay: [0, 0.1]}}"
    found = finetune(tmp_path, text)
    trained = [trial for trial in found.trials if isinstance(trial, FullFinetune)]
    assert len(trained) == 2 * (3 + 1) * 4
    assert {(t.shots, t.epochs) for t in trained} == {(1, 30), ("full", 2)}
    assert len(found.trials) - len(trained) == 2 * (3 + 1)  # a probe brings its own path
    assert found.tuned == ("lr", "weight_decay", "l2")


def test_finetune_may_be_a_list_of_blocks(tmp_path: Path) -> None:
    text = "[{datasets: [a], shots: [1], lr: 1e-3}, {datasets: [b], shots: [5], lr: 1, draws: 1}]"
    trials = finetune(tmp_path, text).trials
    assert [(t.dataset, t.shots, t.draw) for t in trials] == [
        ("a", 1, 0), ("a", 1, 1), ("a", 1, 2), ("b", 5, 0),
    ]  # fmt: skip


def test_a_wrong_key_of_what_may_be_left_out_is_told_with_the_keys_that_are_there(
    tmp_path: Path,
) -> None:
    text = "name: x\npretrain: [{method: scratch, arch: RN50}]\n"
    text += "resources: {pretrain: {probe: {dataset: a, imags: 1}}}\n"
    assert refusal(tmp_path, text) == [
        "a.yaml:3: resources.pretrain.probe.imags: unknown key; did you mean 'images'?"
    ]


def test_a_study_without_fine_tuning_is_fine(tmp_path: Path) -> None:
    assert pretrain(tmp_path, CLIP).trials == ()


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
        "a.yaml:24: resources.pretrain.minutes: must be greater than 0 or a mapping, got 0",
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
        ("epochs", "lr: '1e-3', epochs", "lr: must be a number, got '1e-3'"),
        ("epochs", "lr: true, epochs", "lr: must be a number, got true"),
        ("epochs", "seed: true, epochs", "seed: must be a whole number, got true"),
        ("epochs", "seed: -1, epochs", "seed: must be at least 0, got -1"),
        ("epochs", "flip: yes, epochs", "flip: must be true or false, got 'yes'"),
        (
            "epochs", "precision: x, epochs",
            "precision: must be 'fp32', 'tf32', 'bf16' or 'fp16', got 'x'",
        ),
        ("epochs", "betas: [0.9], epochs", "betas: must be a list of 2, got [0.9]"),
        ("epochs", "betas: 0.9, epochs", "betas: must be a list, got 0.9; write [0.9]"),
        ("epochs", "crop: 3, epochs", "crop: must be a mapping, got 3"),
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
        (CLIP.replace("8000", "[8000, 8e3]"), "makes the same run twice; remove one"),
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
        "a.yaml:5: finetune.1: must be a mapping, got 3",
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
        ("7", "must be a word, got 7"),
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


def test_an_architecture_file_lies_beside_the_grid_and_its_content_counts(tmp_path: Path) -> None:
    (tmp_path / "glyph.json").write_text(json.dumps(GLYPH))
    (tmp_path / "same.json").write_text(json.dumps(GLYPH, indent=1))
    [recipe] = pretrain(tmp_path, "{method: scratch, arch: glyph.json}").pretrains
    arch = getattr(recipe, "arch", None)
    assert getattr(arch, "name", None) == "glyph"
    assert refusal(
        tmp_path, "name: x\npretrain: [{method: scratch, arch: [glyph.json, same.json]}]"
    ) == ["a.yaml:2: pretrain.0: makes the same run twice; remove one"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read (No such file or directory); name a JSON model file"),
        (
            "{",
            "cannot be read (Expecting property name enclosed in double quotes: line 1 column 2 "
            "(char 1)); name a JSON model file",
        ),
        (
            '{"embed_dim": 8, "vision_cfg": {"mlp_ratio": 1e400}}',
            "cannot be read (1e400 is too large for a number); name a JSON model file",
        ),
        (
            '{"embed_dim": 8, "vision_cfg": {"pool": "\\ud83d"}}',
            'vision_cfg.pool: "\\ud83d" contains half a character of UTF-16; remove it',
        ),
        ('{"embed_dim": NaN}', "cannot be read (NaN is not JSON); name a JSON model file"),
        ("[1]", "must be a mapping, got [1]"),
        ('{"embed_dim": 8}', "vision_cfg: is missing; add a line `vision_cfg: ...`"),
        (
            '{"embed_dim": 8, "vision_cfg": {}, "text_cgf": {}}',
            "text_cgf: unknown key; did you mean 'text_cfg'?",
        ),
        ('{"embed_dim": "8", "vision_cfg": {}}', "embed_dim: must be a whole number, got '8'"),
    ],
)
def test_a_wrong_architecture_file_is_told_with_its_path(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "m.json").write_text(content)
    assert pretrain_refusal(tmp_path, "{method: scratch, arch: m.json}") == [
        f"a.yaml:3: pretrain.0.arch: m.json: {sentence}"
    ]


def test_released_weights_belong_to_a_named_architecture(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps(GLYPH))
    assert pretrain_refusal(tmp_path, "{method: released, arch: m.json, weights: mine}") == [
        "a.yaml:3: pretrain.0.arch: must be a name: released weights exist for named "
        "architectures only"
    ]


def test_thousands_of_trials_are_read_in_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    text = "{datasets: [a, b, c, d], shots: [1, 5, 10, 20, full], draws: 100, lr: 1e-3}"
    assert len(finetune(tmp_path, text).trials) == 2000
    assert time.process_time() - start < 5


def test_a_word_like_no_architecture_gets_a_short_list(tmp_path: Path) -> None:
    [told] = pretrain_refusal(tmp_path, "{method: scratch, arch: zzz}")
    assert told.startswith("a.yaml:3: pretrain.0.arch: no architecture is called 'zzz'; known are:")
    assert told.endswith(", ...") and told.count(",") == 30


@pytest.mark.parametrize(
    ("arch", "why"),
    [
        (
            "coca_ViT-B-32",
            "is a CoCa, whose image tower gives tokens for captions besides its feature",
        ),
        (
            "roberta-ViT-B-32",
            "takes its text tower from Hugging Face, which compute nodes cannot reach",
        ),
    ],
)
def test_an_architecture_that_could_not_run_says_why(arch: str, why: str, tmp_path: Path) -> None:
    assert pretrain_refusal(tmp_path, f"{{method: scratch, arch: {arch}}}") == [
        f"a.yaml:3: pretrain.0.arch: '{arch}' {why}; take another, such as 'ViT-B-32'"
    ]


def test_weights_without_a_name_are_refused(tmp_path: Path) -> None:
    block = CLIP.replace("epochs", "init: '', epochs")
    assert pretrain_refusal(tmp_path, block) == [
        "a.yaml:3: pretrain.0.init: is empty; give it a value"
    ]


def test_a_lock_keeps_weights_that_were_trained(tmp_path: Path) -> None:
    locked = CLIP.replace("epochs", "lock: image, epochs")
    assert pretrain_refusal(tmp_path, locked) == [
        "a.yaml:3: pretrain.0: lock: image would keep random weights; name the weights with init, "
        "or remove lock"
    ]
    begun = pretrain(tmp_path, locked.replace("lock", "init: openai, lock")).pretrains[0]
    assert isinstance(begun, Clip) and (begun.init, begun.lock) == ("openai", "image")
    other = locked.replace("lock: image", "init: openai, lock: both")
    assert pretrain_refusal(tmp_path, other) == [
        "a.yaml:3: pretrain.0.lock: must be 'image' or 'text', got 'both'"
    ]
    supervised = locked.replace("clip", "supervised").replace("lock", "init: openai, lock")
    assert pretrain_refusal(tmp_path, supervised)[0].startswith(
        "a.yaml:3: pretrain.0.lock: is not a setting of supervised, but of clip, siglip; remove it"
    )


def test_patches_are_dropped_where_there_are_some(tmp_path: Path) -> None:
    vit = CLIP.replace("RN50", "ViT-B-32").replace("epochs", "patch_dropout: [0, 0.5], epochs")
    whole, half = pretrain(tmp_path, vit).pretrains
    assert isinstance(whole, Clip) and isinstance(half, Clip)
    assert (whole.patch_dropout, half.patch_dropout) == (None, 0.5)
    assert pretrain_refusal(tmp_path, vit.replace("ViT-B-32", "RN50")) == [
        "a.yaml:3: pretrain.0.patch_dropout.1: RN50 is a ResNet, which has no patches; remove "
        "patch_dropout or take a vision transformer, such as 'ViT-B-32'"
    ]
    assert "must be less than 1" in pretrain_refusal(tmp_path, vit.replace("0.5", "1.0"))[0]
    locked = vit.replace("epochs", "init: openai, lock: image, epochs")
    assert pretrain_refusal(tmp_path, locked) == [
        "a.yaml:3: pretrain.0: patch_dropout does nothing in a locked image tower; remove it or "
        "lock"
    ]
