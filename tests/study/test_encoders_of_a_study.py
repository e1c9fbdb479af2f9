"""Architectures and weights that a study file names: what goes together, and what is refused."""

import json
from pathlib import Path

import pytest

from hpc_xfer.config.recipes import Clip
from tests.study.grid_texts import CLIP, GLYPH, pretrain, pretrain_refusal, refusal


def test_batch_norm_is_no_setting_of_an_encoder_without_it(tmp_path: Path) -> None:
    """It would make the same run twice. The projection of SimCLR has batch norm."""
    block = CLIP.replace("epochs", "batchnorm: per-gpu, epochs").replace("RN50", "ViT-B-32")
    assert pretrain_refusal(tmp_path, block) == [
        "a.yaml:3: pretrain.0.batchnorm: ViT-B-32, a vision transformer, has no batch norm; remove "
        "batchnorm"
    ]
    assert pretrain(tmp_path, block.replace("clip", "simclr")).pretrains


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
        (
            '{"embed_dim": "8", "vision_cfg": {}}',
            "embed_dim: must be a whole number, got '8'; write 8 without quotes",
        ),
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
