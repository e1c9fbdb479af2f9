"""Each mistake is told with what to write instead, and nothing that follows from it is told."""

from pathlib import Path

import pytest

from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.study.grid_texts import load, pretrain_refusal, refusal

CLIP = "method: clip, arch: RN50, source: laion, samples: 8000, epochs: 2, batch: 100"
BLOCK = f"pretrain:\n  - {{{CLIP}}}\n"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            "samples: 8000 -> samples: '1,000,000'",
            "samples: must be a whole number, got '1,000,000'; write 1000000 without commas",
        ),
        (
            "samples: 8000 -> samples: '8,500'",
            "samples: must be a whole number, got '8,500'; write 8500 without commas, or [8, 500] "
            "for several",
        ),
        ("samples: 8000 -> samples: -5", "samples: must be greater than 0, got -5"),
        (
            "samples: 8000 -> samples: 1e16",
            "samples: must be at most 1000000000000000, got 1e+16",
        ),
        (
            "epochs: 2 -> epochs: 1e13",
            "epochs: is too large: 1e+13 epochs of 8,000 samples are more than "
            "1,000,000,000,000,000 samples; lower it",
        ),
        (
            "epochs: 2 -> epochs: '2'",
            "epochs: must be a number greater than 0, got '2'; write 2 without quotes",
        ),
        ("epochs -> lr: '0,001', epochs", "lr: must be a number, got '0,001'; write 0.001 with a "
         "point"),
        ("epochs -> grad_clip: none, epochs", "grad_clip: must be a number, got 'none'; write null "
         "for none"),
        (
            "epochs -> precision: bf-16, epochs",
            "precision: must be 'fp32', 'tf32', 'bf16' or 'fp16', got 'bf-16'; did you mean "
            "'bf16'?",
        ),
        (
            "epochs -> max_broken: 5, epochs",
            "max_broken: must be at most 1, got 5; write 0.05 or 5%",
        ),
        ("epochs -> seed: [0, 1, 0], epochs", "seed.2: is 0 once more; keep one"),
        (
            "epochs -> crop: [0.5, 1], epochs",
            "crop: must be a mapping, got [0.5, 1]; its keys are: ratio, scale",
        ),
        (
            "epochs -> select: {above: {score: [1, 2]}}, epochs",
            "select.above.score: must be a number, got [1, 2]; to compare several, make select a "
            "list of mappings",
        ),
        (
            "8000 -> {laion: 5000, yfcc: 3000}",
            'samples: must be a whole number, got {"laion": 5000, "yfcc": 3000}; write the sum, '
            "and the share of each source in `source`",
        ),
        (
            "epochs -> select: {best: score}, epochs",
            "select.best: must be a number per column, got 'score'; write {clip_score: 0.3}",
        ),
        (
            "epochs -> select: {above: [{score: 1}, {score: 2}]}, epochs",
            'select.above: must be a number per column, got [{"score": 1}, {"score": 2}]; to '
            "compare several, make select a list of mappings",
        ),
        (
            "epochs -> select: {distinct: [phash, uid]}, epochs",
            'select.distinct: must be the name of a column, got ["phash", "uid"]; to compare '
            "several, make select a list of mappings",
        ),
        (
            "epochs -> select: {distinct: {phash: 1}}, epochs",
            'select.distinct: must be the name of a column, got {"phash": 1}; write `distinct: '
            "phash`",
        ),
        (
            "epochs -> caption: {mix: [txt, title]}, epochs",
            'caption.mix: must be a share per kind of captions, got ["txt", "title"]; write '
            "{txt: 1, title: 1}, with keys of the json",
        ),
        (
            "epochs -> init: {base: 1}, epochs",
            'init: must be a word, got {"base": 1}; write one word',
        ),
        ("epochs -> shots: 5, epochs", "shots: is a key of finetune; write it there, or remove it"),
        (
            "laion -> ",
            "source: must be a word or a mapping, got null; give it a value",
        ),
        (
            "epochs -> init: 3, epochs",
            "init: must be a word, got 3; write '3' in quotes",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_once_with_what_to_write(
    tmp_path: Path, changes: str, sentence: str
) -> None:
    right, wrong = changes.split(" -> ")
    block = f"{{{CLIP.replace(right, wrong, 1)}}}"
    assert pretrain_refusal(tmp_path, block) == [f"a.yaml:3: pretrain.0.{sentence}"]


def test_a_share_may_be_a_percentage(tmp_path: Path) -> None:
    runs = [
        make_plan(load(tmp_path, f"name: x\npretrain: [{{{CLIP}, {more}}}]\n")).runs[0].id
        for more in ("max_broken: 1%", "max_broken: 0.01", "select: {best: {a: 30%}}",
                     "select: {best: {a: 0.3}}")
    ]  # fmt: skip
    assert runs[0] == runs[1] and runs[2] == runs[3]


def test_a_threshold_of_zero_is_one_run_with_either_sign(tmp_path: Path) -> None:
    blocks = (f"{{{CLIP}, select: {{above: {{a: {zero}}}}}}}" for zero in ("0", "0.0", "-0.0"))
    studies = [load(tmp_path, f"name: x\npretrain: [{block}]\n") for block in blocks]
    assert len({make_plan(study).runs[0].id for study in studies}) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "pretrain: clip\n",
            "2: pretrain: is not a list of blocks: 'clip'; write some, such as `- "
            "{method: scratch, arch: RN50}`",
        ),
        (
            "pretrain:\nfinetune: {datasets: pets, shots: 5, lr: 1, parents: [web]}\n",
            "2: pretrain: has no block; write some, such as `- {method: scratch, arch: RN50}`",
        ),
        (
            "pretrain:\n  web: {method: scratch, arch: RN50}\n  own: {method: scratch, arch: RN50, "
            "seed: 1}\n",
            "2: pretrain: has blocks by their names; write a list, with each name inside: "
            "`- {name: web, method: ...}`",
        ),
        (
            "pretrain:\n  - &b {method: scratch, arch: RN50}\n  - {<<: *b, seed: 1}\n",
            "4: pretrain.1: keys cannot be merged by <<; write them out, or share them by "
            "`defaults`",
        ),
        (
            "pretrain:\n  - {method: scratch, arch\u200b: RN50}\n",
            "3: pretrain.0.arch\u200b: has a sign that is not seen, as copied text has it; write "
            "it again",
        ),
        (
            "pretrain:\n\u00a0 - {method: scratch, arch: RN50}\n",
            "3: begins with a special space, as copied text has it; write it again",
        ),
    ],
)
def test_a_wrong_file_is_told_once(tmp_path: Path, text: str, sentence: str) -> None:
    assert refusal(tmp_path, f"name: x\n{text}") == [f"a.yaml:{sentence}"]


@pytest.mark.parametrize(
    ("defaults", "sentence"),
    [
        (
            "{arch: RN50}",
            "defaults.arch: is a key of pretrain; write `defaults: {pretrain: {arch: ...}}`",
        ),
        (
            "{clip: {arch: RN50}}",
            "defaults.clip: is not a kind of block; write `pretrain`, whose blocks take the "
            "keys that they have",
        ),
        (
            "{pretrain: [{arch: RN50}]}",
            'defaults.pretrain: must be a mapping, got [{"arch": "RN50"}]',
        ),
        (
            "",
            "defaults: must be a mapping with pretrain or finetune, got null; give it a value, or "
            "remove it",
        ),
        (
            "{resources: {pretrain: {gpus: 8}}}",
            "defaults.resources: are shared by all blocks anyway; write `resources` at the top "
            "level",
        ),
        (
            "{pretrain: {arch: RN50, shots: 5}}",
            "defaults.pretrain.shots: is a key of finetune; write it there, or remove it",
        ),
    ],
)  # fmt: skip
def test_keys_that_lack_with_their_defaults_are_not_told(
    tmp_path: Path, defaults: str, sentence: str
) -> None:
    blocks = BLOCK.replace("arch: RN50, ", "")
    assert refusal(tmp_path, f"name: x\ndefaults: {defaults}\n{blocks}") == [
        f"a.yaml:2: {sentence}"
    ]


def test_null_takes_the_tuned_values_of_the_defaults_away(tmp_path: Path) -> None:
    text = "defaults: {finetune: {datasets: pets, shots: 5, draws: 1, tune: {lr: [1, 2]}}}\n"
    blocks = "finetune:\n  - {mode: ft}\n  - {mode: lp-ft, tune: null, lr: 3}\n"
    study = load(tmp_path, f"name: x\n{BLOCK}{text}{blocks}")
    assert [(trial.mode, getattr(trial, "lr", None)) for trial in study.trials] == [
        ("ft", 1), ("ft", 2), ("lp-ft", 3),
    ]  # fmt: skip


def test_a_value_by_shots_has_shots_alone(tmp_path: Path) -> None:
    trials = "finetune: {datasets: pets, shots: [1, full], draws: {1: 3, ful: 1}, lr: 1}\n"
    minutes = "resources: {finetune: {minutes: {1: 20, full: 60, all: 30}}}\n"
    assert refusal(tmp_path, f"name: x\n{BLOCK}{trials}{minutes}") == [
        "a.yaml:4: finetune.draws.ful: is not a number of shots; write one, or full",
        "a.yaml:5: resources.finetune.minutes.all: is not a number of shots; write one, or full",
    ]


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for encoding in ("latin-1", "utf-16"):
        path.write_bytes("name: x\nquestion: größer?\n".encode(encoding))
        with pytest.raises(Exception, match="is not text in UTF-8; save it as UTF-8"):
            load_study(path)
