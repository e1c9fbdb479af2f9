"""What can be known to be wrong before anything runs."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.study import preflight
from hpc_xfer.study.study_file import load_study
from tests.fabricated import image_folder, source

CLIP = "{method: clip, arch: RN50, source: sans, samples: 500, epochs: 1, batch: 100}"
PETS = "datasets: [pets], shots: [1], lr: 1"


def check(folder: Path, site: Site, text: str) -> list[str]:
    """The sentences, with the folder cut off; none where all is well."""
    path = folder / "a.yaml"
    path.write_text(text)
    try:
        preflight.check(load_study(path), site)
    except StudyError as error:
        return str(error).replace(f"{folder}/", "").splitlines()
    return []


def pretrain(folder: Path, site: Site, block: str = CLIP, rest: str = "") -> list[str]:
    return check(folder, site, f"name: x\npretrain:\n  - {block}\n{rest}")


def finetune(folder: Path, site: Site, block: str) -> list[str]:
    text = f"name: x\npretrain: [{{method: scratch, arch: RN50}}]\nfinetune: {block}\n"
    return check(folder, site, text)


def test_a_study_whose_data_is_there_passes(tmp_path: Path) -> None:
    sources = {"sans": str(source(tmp_path / "sans"))}
    datasets = {"pets": str(image_folder(tmp_path / "pets", cat=10, dog=12))}
    site = Site(sources=sources, datasets=datasets)
    rest = "finetune: {datasets: [pets, digits], shots: [1, 8, full], lr: 1}\n"
    assert pretrain(tmp_path, site, rest=rest) == []


def test_a_probe_on_a_data_set_that_nobody_knows_is_told(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans"))})
    asked = "resources: {{pretrain: {{probe: {{dataset: {}}}}}}}\n".format
    assert pretrain(tmp_path, site, rest=asked("digits")) == []
    assert pretrain(tmp_path, site, rest=asked("digit"))[0].startswith(
        "a.yaml:4: resources.pretrain.probe.dataset: data set 'digit' is unknown; built in are "
    )


def test_a_source_that_the_site_does_not_know_is_told_with_the_nearest(tmp_path: Path) -> None:
    told = "a.yaml:3: pretrain.0.source: the site file has no source 'sans'; add it to `sources` "
    assert pretrain(tmp_path, Site()) == [
        "a.yaml:3: pretrain.0.source: no site file says where source 'sans' lies; name one with "
        "--site"
    ]
    assert pretrain(tmp_path, Site(sources={"sens": "/x"})) == [
        f"{told}there; did you mean 'sens'?"
    ]


def test_a_source_without_folder_shards_or_index_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "my shards"
    site = Site(sources={"sans": str(folder)})
    told = "a.yaml:3: pretrain.0.source: my shards: "
    assert pretrain(tmp_path, site) == [f"{told}no such folder; correct the path in the site file"]
    folder.mkdir()
    assert pretrain(tmp_path, site) == [
        f"{told}holds no .tar shards; make some with `python -m hpc_xfer.shards make` or correct "
        "the path in the site file"
    ]
    (folder / "0.tar").write_bytes(bytes(10))
    assert pretrain(tmp_path, site) == [
        f"{told}has 1 shards but no index.json; run `python -m hpc_xfer.shards index 'my shards'`"
    ]


def test_a_shard_that_was_cut_off_is_told(tmp_path: Path) -> None:
    folder = source(tmp_path / "sans")
    (folder / "0.tar").write_bytes(bytes(100))
    [told] = pretrain(tmp_path, Site(sources={"sans": str(folder)}))
    assert told.startswith("a.yaml:3: pretrain.0.source: sans/0.tar: has 100 bytes where")


def test_keys_that_the_json_of_samples_has_not_are_told(tmp_path: Path) -> None:
    folder = source(tmp_path / "sans", "cls jpg json")
    index = ShardIndex.load(folder)
    shard_index.write(replace(index, json_keys=("alt", "kind"), label_key="kind"))
    site = Site(sources={"sans": str(folder)})
    end = "epochs: 1, batch: 100}"
    block = CLIP.replace(end, f"caption: {{keys: [title, alt]}}, {end}")
    assert pretrain(tmp_path, site, block) == []
    assert pretrain(tmp_path, site, block.replace("title, alt", "title")) == [
        "a.yaml:3: pretrain.0.caption: none of these keys is in the json of 'sans'; name some of: "
        "alt, kind"
    ]
    supervised = CLIP.replace("clip", "supervised").replace(end, f"label: kind, {end}")
    quoted = shlex.quote(str(folder)).replace(f"{tmp_path}/", "")
    assert pretrain(tmp_path, site, supervised) == []
    assert pretrain(tmp_path, site, supervised.replace("kind", "breed")) == [
        "a.yaml:3: pretrain.0.label: the index of 'sans' does not take its classes from the json "
        f"key 'breed'; run `python -m hpc_xfer.shards index {quoted}` with --label-key breed"
    ]


def test_a_source_is_told_once_for_all_runs_of_a_block(tmp_path: Path) -> None:
    block = CLIP.replace("epochs", "seed: [0, 1, 2], epochs")
    assert len(pretrain(tmp_path, Site(), block)) == 1


@pytest.mark.parametrize(
    ("fields", "block", "sentence"),
    [
        (
            "cls png txt", CLIP.replace("500", "1001"),
            "samples: asks for 1,001 of a source that has 1,000; lower it",
        ),
        (
            "png txt", CLIP.replace("clip", "supervised"),
            "source: 'sans' has no labels (cls), which supervised needs; add them to its shards or "
            "name another source",
        ),
        (
            "cls png", CLIP,
            "source: 'sans' has no captions (txt), which clip needs; add them to its shards or "
            "name another source",
        ),
    ],
)  # fmt: skip
def test_a_source_that_lacks_what_the_method_needs_is_told(
    tmp_path: Path, fields: str, block: str, sentence: str
) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans", fields))})
    assert pretrain(tmp_path, site, block) == [f"a.yaml:3: pretrain.0.{sentence}"]


def test_images_alone_are_enough_for_simclr(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans", "png"))})
    assert pretrain(tmp_path, site, CLIP.replace("clip", "simclr")) == []


def test_a_batch_that_the_gpus_cannot_share_is_told(tmp_path: Path) -> None:
    site = Site(sources={"sans": str(source(tmp_path / "sans"))})
    rest = "resources: {pretrain: {gpus: 8}}\n"
    assert pretrain(tmp_path, site, rest=rest) == [
        "a.yaml:3: pretrain.0.batch: 100 cannot be split evenly over 8 GPUs; make it a multiple "
        "of 8"
    ]


def test_a_file_of_released_weights_must_be_there(tmp_path: Path) -> None:
    site = Site(released={"mine": str(tmp_path / "w.pt")})
    block = "{method: released, arch: RN50, weights: mine}"
    told = "a.yaml:3: pretrain.0.weights: w.pt: no such file; correct `released` in the site file"
    assert pretrain(tmp_path, site, block) == [told]
    (tmp_path / "w.pt").touch()
    assert pretrain(tmp_path, site, block) == []


def test_an_unknown_data_set_is_told_with_the_place_where_it_stands(tmp_path: Path) -> None:
    block = "{datasets: [digits, pats], shots: [1], lr: 1}"
    assert finetune(tmp_path, Site(), block) == [
        "a.yaml:3: finetune.datasets.1: data set 'pats' is unknown; built in are digits, mnist5k, "
        "and any image folder can be named in the site file under `datasets`"
    ]


def test_shots_above_the_smallest_class_are_told(tmp_path: Path) -> None:
    block = "{datasets: [digits], shots: [1, 69, 70], lr: 1}"
    assert finetune(tmp_path, Site(), block) == [
        "a.yaml:3: finetune.shots.2: 70 shots need 70 images per class, but the smallest class "
        "of digits has 69 besides 17 held out for validation; lower shots or val_fraction"
    ]
    assert finetune(tmp_path, Site(), block.replace("lr: 1", "lr: 1, val_fraction: 0.1")) == []


def test_the_classes_of_an_image_folder_are_counted(tmp_path: Path) -> None:
    site = Site(datasets={"pets": str(image_folder(tmp_path / "pets", cat=10, dog=5))})
    assert finetune(tmp_path, site, "{datasets: [pets], shots: [4, 5], lr: 1}") == [
        "a.yaml:3: finetune.shots.1: 5 shots need 5 images per class, but the smallest class of "
        "pets has 4 besides 1 held out for validation; lower shots or val_fraction"
    ]


def test_a_class_with_one_image_cannot_be_validated(tmp_path: Path) -> None:
    site = Site(datasets={"pets": str(image_folder(tmp_path / "pets", cat=10, dog=1))})
    assert finetune(tmp_path, site, "{datasets: [pets], shots: [full], lr: 1}") == [
        "a.yaml:3: finetune.datasets.0: pets has a class with one training image, but needs one "
        "for training and one for validation; add an image or remove the class"
    ]


def test_the_block_that_asks_too_much_is_named_not_the_first_with_that_data_set(
    tmp_path: Path,
) -> None:
    good = "{datasets: [digits], shots: [1], lr: 1}"
    bad = "{datasets: [digits], shots: [80], lr: 1}"
    [told] = finetune(tmp_path, Site(), f"\n  - {good}\n  - {bad}")
    assert told.startswith("a.yaml:5: finetune.1.shots.0: 80 shots need 80 images")


def test_a_folder_that_is_no_data_set_is_told(tmp_path: Path) -> None:
    site = Site(datasets={"pets": str(tmp_path / "gone")})
    assert finetune(tmp_path, site, f"{{{PETS}}}") == [
        "a.yaml:3: finetune.datasets.0: gone: no such folder; correct data set 'pets' in the site "
        "file"
    ]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = f"name: x\npretrain: [{CLIP}]\nfinetune: {{{PETS}}}\n"
    assert [line.split(": ")[1] for line in check(tmp_path, Site(), text)] == [
        "pretrain.0.source", "finetune.datasets.0",
    ]  # fmt: skip


def test_a_data_set_that_several_blocks_name_is_told_once(tmp_path: Path) -> None:
    [told] = finetune(tmp_path, Site(), f"\n  - {{{PETS}}}\n  - {{{PETS}, mode: [lp-ft]}}")
    assert told.startswith("a.yaml:4: finetune.0.datasets.0: data set 'pets' is unknown")
