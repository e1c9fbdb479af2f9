"""Faults of released weights that are known before anything runs."""

from pathlib import Path

import pytest

from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.site import Site
from hpc_xfer.study.preflight.check_inputs import check_inputs
from hpc_xfer.study.study_file import load_study
from tests.fabricated import source
from tests.study.preflight.checking import CLIP, pretrain


def test_a_file_of_released_weights_must_be_there(tmp_path: Path) -> None:
    site = Site(released={"mine": str(tmp_path / "w.pt")})
    block = "{method: released, arch: RN50, weights: mine}"
    told = "a.yaml:3: pretrain.0.weights: w.pt: no such file; correct `released` in the site file"
    assert pretrain(tmp_path, site, block) == [told]
    (tmp_path / "w.pt").touch()
    assert pretrain(tmp_path, site, block) == [
        told.replace("no such file", "is empty").replace(
            "correct `released` in the site file", "fetch it again"
        )
    ]


def test_files_that_are_no_weights_are_told_before_a_job_starts(tmp_path: Path) -> None:
    site = Site(released={"mine": str(tmp_path / "w.pt")})
    block = "{method: released, arch: RN50, weights: mine}"
    (tmp_path / "w.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert pretrain(tmp_path, site, block) == [
        "a.yaml:3: pretrain.0.weights: w.pt: is a Git LFS pointer, not the weights; run `git lfs "
        "pull` in its folder"
    ]


def test_weights_of_another_activation_are_told_before_a_job_starts(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"\x80\x02 a pickle")
    entry = ReleasedEntry(path=str(tmp_path / "w.pt"), activation="quick_gelu")
    block = "{method: released, arch: RN50, weights: mine}"
    assert pretrain(tmp_path, Site(released={"mine": entry}), block) == [
        "a.yaml:3: pretrain.0.weights: w.pt: was trained with quick_gelu (site file), arch RN50 "
        "has gelu; use arch RN50-quickgelu"
    ]


def test_what_nothing_tells_of_weights_is_noted_once(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"\x80\x02 a pickle")
    site = Site(released={"mine": str(tmp_path / "w.pt")})
    block = "{method: released, arch: RN50, weights: mine}"
    path = tmp_path / "a.yaml"
    path.write_text(f"name: x\npretrain: [{block}, {block.replace('RN50', 'RN50-quickgelu')}]\n")
    notes = check_inputs(load_study(path), site).notes
    assert [note.replace(f"{tmp_path}/", "") for note in notes] == [
        "nothing tells which activation w.pt was trained with; taken from arch RN50 (gelu); state "
        "it with `activation`",
        "nothing tells the mean and std of w.pt; those of arch RN50 are taken; state them with "
        "`mean` and `std`",
        "nothing tells which activation w.pt was trained with; taken from arch RN50-quickgelu "
        "(quick_gelu); state it with `activation`",
        "nothing tells the mean and std of w.pt; those of arch RN50-quickgelu are taken; state "
        "them with `mean` and `std`",
    ]


def test_a_training_at_another_size_than_that_of_its_start_is_noted(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"\x80\x02 a pickle")
    ones = (1.0, 1.0, 1.0)
    entry = ReleasedEntry(path=str(tmp_path / "w.pt"), size=288, mean=ones, std=ones)
    site = Site(sources={"sans": str(source(tmp_path / "sans"))}, released={"mine": entry})
    block = CLIP.replace("RN50", "torchvision/resnet50").replace("epochs", "init: mine, epochs")
    (tmp_path / "a.yaml").write_text(f"name: x\npretrain: [{block}]\n")
    assert (
        f"{tmp_path}/w.pt is for images of 288 pixels; a training that starts from it takes the "
        "224 of arch torchvision/resnet50"
    ) in check_inputs(load_study(tmp_path / "a.yaml"), site).notes


def test_weights_to_start_from_must_be_where_the_site_says(tmp_path: Path) -> None:
    sources = {"sans": str(source(tmp_path / "sans"))}
    (tmp_path / "there.pt").write_bytes(b"\x80\x02 a pickle")
    released = {"there": str(tmp_path / "there.pt"), "gone": str(tmp_path / "gone.pt")}
    site = Site(sources=sources, released=released)

    def told(init: str, arch: str = "RN50") -> list[str]:
        return pretrain(
            tmp_path, site, CLIP.replace("RN50", arch).replace("epochs", f"init: {init}, epochs")
        )

    assert told("there") == told("openai", "RN50-quickgelu") == []
    assert told("openia") == [
        "a.yaml:3: pretrain.0.init: RN50 has no released weights 'openia' (known: openai, yfcc15m, "
        "cc12m); name one of these, or add a file to `released` in the site file"
    ]
    assert told("[there, gone, null]") == [
        "a.yaml:3: pretrain.0.init: gone.pt: no such file; correct `released` in the site file"
    ]
    assert told("thera", "torchvision/resnet50") == [
        "a.yaml:3: pretrain.0.init: the site file has no weights 'thera'; add their file to "
        "`released` there; did you mean 'there'?"
    ]


def test_tags_that_open_clip_does_not_know_are_told_before_a_job_starts(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"\x80\x02 a pickle")
    site = Site(released={"laion400m": str(tmp_path / "w.pt")})

    def told(arch: str, weights: str) -> list[str]:
        return pretrain(tmp_path, site, f"{{method: released, arch: {arch}, weights: {weights}}}")

    assert told("ViT-B-32", "laion2b_e16") == told("RN50-quickgelu", "openai") == []
    assert told("ViT-B-32-256", "openai") == [
        "a.yaml:3: pretrain.0.weights: ViT-B-32-256 has no released weights 'openai' (known: "
        "datacomp_s34b_b86k); name one of these, or add a file to `released` in the site file"
    ]
    assert told("RN50", "laion4o0m") == [
        "a.yaml:3: pretrain.0.weights: the site file has no weights 'laion4o0m'; did you mean "
        "'laion400m'?"
    ]
    assert told("[RN50, ViT-B-32]", "openai") == [
        f"a.yaml:3: pretrain.0.weights: {arch} openai: was trained with quick_gelu (open_clip), "
        f"arch {arch} has gelu; use arch {arch}-quickgelu"
        for arch in ("RN50", "ViT-B-32")
    ]


def test_tags_whose_weights_are_not_fetched_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.yaml"
    block = "{method: released, arch: RN50-quickgelu, weights: openai}"
    path.write_text(f"name: x\npretrain: [{block}]\n")

    def notes(site: Site, on: str) -> tuple[str, ...]:
        return check_inputs(load_study(path), site, on).notes

    kept = tmp_path / "kept"
    monkeypatch.setenv("HF_HUB_CACHE", str(kept))
    command = (
        "python -c \"import open_clip; open_clip.create_model('RN50-quickgelu', "
        "pretrained='openai')\""
    )
    assert notes(Site(), "local") == (
        f"weights 'openai' of RN50-quickgelu are not in {kept}; where jobs have no network, fetch "
        f"them first: {command}",
    )
    (kept / "models--timm--resnet50_clip.openai/snapshots/0abc").mkdir(parents=True)
    (kept / "models--timm--resnet50_clip.openai/snapshots/0abc/model.safetensors").touch()
    assert notes(Site(), "local") == ()
    elsewhere = Site.model_validate({"slurm": {"environment": {"HF_HUB_CACHE": "/of/jobs"}}})
    assert "are not in /of/jobs;" in notes(elsewhere, "slurm")[0]
    assert notes(elsewhere, "local") == ()


def test_a_name_that_is_a_block_and_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"\x80\x02 a pickle")
    sources = {"sans": str(source(tmp_path / "sans"))}
    site = Site(released={"base": str(tmp_path / "w.pt")}, sources=sources)
    named = CLIP.replace("{", "{name: base, ")
    rest = f"  - {CLIP.replace('{', '{init: base, ')}\n"
    assert pretrain(tmp_path, site, named, rest) == [
        "a.yaml:4: pretrain.1.init: 'base' is a block of the grid, and weights of the site file; "
        "give the block another name"
    ]
    assert pretrain(tmp_path, Site(sources=sources), named, rest) == []
    misspelt = rest.replace("init: base", "init: bsae")
    assert pretrain(tmp_path, Site(sources=sources), named, misspelt) == [
        "a.yaml:4: pretrain.1.init: no block is called 'bsae'; did you mean 'base'?"
    ]
    other = rest.replace("init: base", "init: web")
    assert pretrain(tmp_path, Site(sources=sources), named, other) == [
        "a.yaml:4: pretrain.1.init: RN50 has no released weights 'web' (known: openai, yfcc15m, "
        "cc12m); name one of these, or add a file to `released` in the site file; or name a block: "
        "base"
    ]


def test_weights_that_are_nearly_called_like_a_block_are_no_misspelt_block(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans"))})
    clip = CLIP.replace("RN50", "RN50-quickgelu")
    named, child = clip.replace("{", "{name: cc12, "), clip.replace("{", "{init: cc12m, ")
    assert pretrain(tmp_path, site, named, f"  - {child}\n") == []
