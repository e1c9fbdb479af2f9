"""What can be known to be wrong before anything runs."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config import shard_index
from hpc_xfer.config.dataset_location import DatasetEntry
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.shard_files.oddity import NO_SAMPLE, Oddity
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.study.preflight.check_inputs import check_inputs
from hpc_xfer.study.study_file import load_study
from tests.fabricated import image_folder, source
from tests.official_copies import make

CLIP = "{method: clip, arch: RN50, source: sans, samples: 500, epochs: 1, batch: 100}"
ANIMALS = "datasets: [animals], shots: [1], lr: 1"


def check(folder: Path, site: Site, text: str) -> list[str]:
    """The sentences, with the folder cut off; none where all is well."""
    path = folder / "a.yaml"
    path.write_text(text)
    try:
        check_inputs(load_study(path), site)
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


def test_an_unknown_data_set_is_told_with_the_place_where_it_stands(tmp_path: Path) -> None:
    block = "{datasets: [digits, pats, birds], shots: [1], lr: 1}"
    assert finetune(tmp_path, Site(), block) == [
        "a.yaml:3: finetune.datasets.1: data set 'pats' is unknown; did you mean 'pets'?",
        "a.yaml:3: finetune.datasets.2: data set 'birds' is unknown; built in are caltech101, "
        "cassava, cct20, cifar100, clipart, digits, dtd, eurosat, mnist5k, pets, real, and any "
        "image folder can be named in the site file under `datasets`",
    ]


def test_classes_with_few_images_are_no_fault(tmp_path: Path) -> None:
    """They give what they have."""
    site = Site(datasets={"animals": str(image_folder(tmp_path / "animals", cat=10, dog=1))})
    block = "{datasets: [animals, digits], shots: [1, 200, full], lr: 1}"
    assert finetune(tmp_path, site, block) == []


def test_a_data_set_of_one_class_is_refused(tmp_path: Path) -> None:
    site = Site(datasets={"animals": str(image_folder(tmp_path / "animals", cat=10))})
    assert finetune(tmp_path, site, f"{{{ANIMALS}}}") == [
        "a.yaml:3: finetune.datasets.0: animals has one class, 'cat'; add another or name another "
        "data set"
    ]


def dataset_notes(folder: Path, site: Site, block: str) -> list[str]:
    path = folder / "a.yaml"
    path.write_text(f"name: x\npretrain: [{{method: scratch, arch: RN50}}]\nfinetune: {block}\n")
    return [note.replace(f"{folder}/", "") for note in check_inputs(load_study(path), site).notes]


def test_correct_data_sets_pass_whatever_their_shares_and_names_are(tmp_path: Path) -> None:
    """Five classes of which one has 61%, and folders k0 to k3: both were refused once."""
    shares = {"blight": 5, "streak": 10, "mottle": 11, "mosaic": 61, "healthy": 13}
    large = image_folder(tmp_path / "large", **shares)
    codes = image_folder(tmp_path / "codes", k0=3, k1=3, k2=3, k3=3)
    site = Site(datasets={"large": str(large), "codes": str(codes)})
    block = "{datasets: [large, codes], shots: [1, full], lr: 1, mode: [ft]}"
    assert dataset_notes(tmp_path, site, block) == [
        "data set 'codes': its class names are codes (k0, k1, ...), not words: text heads start "
        "from zero (head: auto); name the classes with class_names in the site file, or in "
        "classes.json beside the data"
    ]


def test_zero_shot_from_codes_is_told_with_the_way_out(tmp_path: Path) -> None:
    codes = image_folder(tmp_path / "codes", k0=3, k1=3)
    sources = {"sans": str(source(tmp_path / "sans"))}
    site = Site(sources=sources, datasets={"codes": str(codes)})
    rest = "finetune: {datasets: [digits, codes], shots: [1], mode: [ft, zeroshot], lr: 1}\n"
    assert pretrain(tmp_path, site, rest=rest) == [
        "a.yaml:4: finetune.datasets.1: data set 'codes': its class names are codes (k0, k1), not "
        "words, so zero-shot measures nothing; name the classes with class_names in the site file, "
        "or in classes.json beside the data, or remove mode zeroshot"
    ]
    (codes / "classes.json").write_text('{"k0": "0", "k1": "1"}')  # what is stated is believed
    assert pretrain(tmp_path, site, rest=rest) == []
    (codes / "classes.json").write_text('{"templates": ["the letter k and the number {}"]}')
    assert pretrain(tmp_path, site, rest=rest) == []


def test_test_images_that_are_training_images_are_counted_and_named(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "animals", cat=3, dog=3)
    for i, path in enumerate(sorted(folder.rglob("*.png"))):
        path.write_bytes(bytes([i]))
    (folder / "test/dog/0.png").write_bytes((folder / "train/dog/2.png").read_bytes())
    site = Site(datasets={"animals": str(folder)})
    assert dataset_notes(tmp_path, site, f"{{{ANIMALS}}}") == [
        "data set 'animals': 1 of 2 test images are byte for byte training images too, the first "
        "test/dog/0.png; remove them from one of the two: accuracy on them is memory"
    ]


def test_a_wrong_classes_json_is_told_before_a_run(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "animals", cat=3, dog=3)
    (folder / "classes.json").write_text('{"cat": 0, "dog": 1}')
    assert finetune(tmp_path, Site(datasets={"animals": str(folder)}), f"{{{ANIMALS}}}") == [
        "a.yaml:3: finetune.datasets.0: animals/classes.json: 'cat' is 0, which is not text; write "
        'a list of names in the order of labels, or {"folder": "name", ...}, or rename the file if '
        "it is for something else"
    ]


def test_a_packaged_data_set_is_compared_with_its_card(tmp_path: Path) -> None:
    place = make("pets", tmp_path / "pets")
    block = "{datasets: [pets], shots: [1], lr: 1}"
    whole = Site(datasets={"pets": str(place.path)})
    assert finetune(tmp_path, whole, block) == [
        "a.yaml:3: finetune.datasets.0: pets: has 111 training images, expected 3,680 of pets; run "
        "`python -m hpc_xfer.datasets fetch pets`, or state `counts` in the site file if a subset "
        "is meant"
    ]
    subset = DatasetEntry(path=str(place.path), counts=place.counts)
    assert finetune(tmp_path, Site(datasets={"pets": subset}), block) == []


def test_a_data_set_of_torchvision_is_named_in_the_grid(tmp_path: Path) -> None:
    block = '{datasets: ["torchvision:Flowers102"], shots: [1], lr: 1}'
    assert finetune(tmp_path, Site(), block) == [
        "a.yaml:3: finetune.datasets.0: data set 'torchvision:Flowers102': the site file does not "
        'say where it lies; add `datasets: {"torchvision:Flowers102": ROOT}` there'
    ]
    site = Site(datasets={"torchvision:Flowers102": str(tmp_path)})
    assert finetune(tmp_path, site, block) == []


def test_a_folder_that_is_no_data_set_is_told(tmp_path: Path) -> None:
    site = Site(datasets={"animals": str(tmp_path / "gone")})
    assert finetune(tmp_path, site, f"{{{ANIMALS}}}") == [
        "a.yaml:3: finetune.datasets.0: gone: no such folder; correct data set 'animals' in the "
        "site file"
    ]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = f"name: x\npretrain: [{CLIP}]\nfinetune: {{{ANIMALS}}}\n"
    assert [line.split(": ")[1] for line in check(tmp_path, Site(), text)] == [
        "pretrain.0.source", "finetune.datasets.0",
    ]  # fmt: skip


def test_a_data_set_that_several_blocks_name_is_told_once(tmp_path: Path) -> None:
    [told] = finetune(tmp_path, Site(), f"\n  - {{{ANIMALS}}}\n  - {{{ANIMALS}, mode: [lp-ft]}}")
    assert told.startswith("a.yaml:4: finetune.0.datasets.0: data set 'animals' is unknown")


def test_weights_to_start_from_must_be_where_the_site_says(tmp_path: Path) -> None:
    sources = {"sans": str(source(tmp_path / "sans"))}
    (tmp_path / "there.pt").write_bytes(b"\x80\x02 a pickle")
    released = {"there": str(tmp_path / "there.pt"), "gone": str(tmp_path / "gone.pt")}
    site = Site(sources=sources, released=released)

    def told(init: str, arch: str = "RN50") -> list[str]:
        return pretrain(
            tmp_path, site, CLIP.replace("RN50", arch).replace("epochs", f"init: {init}, epochs")
        )

    assert told("there") == told("openai") == []  # a tag is looked up where the run executes
    assert told("[there, gone, null]") == [
        "a.yaml:3: pretrain.0.init: gone.pt: no such file; correct `released` in the site file"
    ]
    assert told("thera", "torchvision/resnet50") == [
        "a.yaml:3: pretrain.0.init: the site file has no weights 'thera'; add their file to "
        "`released` there; did you mean 'there'?"
    ]


def odd(folder: Path, *oddities: Oddity, fields: str = "cls jpg txt", **changes: Any) -> Site:
    """A source of 1,000 samples with an index that has counted these."""
    index = ShardIndex.load(source(folder, fields))
    shard_index.write(replace(index, oddities=oddities, **changes))
    return Site(sources={"sans": str(folder)})


def source_notes(folder: Path, site: Site, block: str) -> list[str]:
    path = folder / "a.yaml"
    path.write_text(f"name: x\npretrain:\n  - {block}\n")
    return [note.replace(f"{folder}/", "") for note in check_inputs(load_study(path), site).notes]


def test_one_bad_label_refuses_what_learns_labels_and_nothing_else(tmp_path: Path) -> None:
    bad = Oddity("no usable label (cls)", 3, "9 in b.tar: cls 'cat' is not", "label")
    lacking = Oddity("no cls, unlike others", 1, "0 in a.tar", "label")
    site = odd(tmp_path / "sans", bad, lacking)
    assert pretrain(tmp_path, site) == []
    assert source_notes(tmp_path, site, CLIP) == []
    refused = (
        "samples of 'sans' have no class, which {} needs here: no usable label (cls), the first 9 "
        "in b.tar: cls 'cat' is not and 1 other faults; correct them or leave them out, and run "
        f"`python -m hpc_xfer.shards index {tmp_path}/sans`"
    )
    supervised = CLIP.replace("clip", "supervised")
    templates = CLIP.replace("epochs", "caption: {templates: ['a {}']}, epochs")
    for block, method in ((supervised, "supervised"), (templates, "clip")):
        (told,) = pretrain(tmp_path, site, block)
        assert told == f"a.yaml:3: pretrain.0.source: 4 of 1,000 {refused.format(method)}".replace(
            f"{tmp_path}/", ""
        )


def test_a_source_without_images_is_refused_before_any_job(tmp_path: Path) -> None:
    (told,) = pretrain(tmp_path, odd(tmp_path / "sans", fields="heic txt"))
    assert told == (
        "a.yaml:3: pretrain.0.source: 'sans' has no images (jpg, jpeg, png, webp, avif, bmp, gif, "
        "jp2, ppm, tif, tiff): its fields are heic, txt; add them to its shards or name another "
        "source"
    )


def test_samples_without_an_image_are_told(tmp_path: Path) -> None:
    some = Oddity("no image", 10, "x/2 in a.tar", "image")
    assert source_notes(tmp_path, odd(tmp_path / "sans", some), CLIP) == [
        "source 'sans': no image: 10 of 1,000 samples, the first x/2 in a.tar; training skips them",
        "source 'sans': at most 990 of 1,000 samples are of use to clip, and neighbors take the "
        "place of the others; max_broken allows fewer, so that the run may stop",
    ]


def test_a_source_with_too_few_captions_for_max_broken_is_refused(tmp_path: Path) -> None:
    site = odd(
        tmp_path / "sans",
        Oddity("a txt that is 'nan', which stands for none", 600, "7 in a.tar", "txt"),
        Oddity("no image", 10, "x/2 in a.tar", "image"),
    )
    assert pretrain(tmp_path, site, CLIP.replace("clip", "supervised")) == []
    told = pretrain(tmp_path, site)
    assert told == [
        "a.yaml:3: pretrain.0.source: 600 of 1,000 samples of 'sans' are of no use to clip (a txt "
        "that is 'nan', which stands for none: the first 7 in a.tar), more than max_broken 0.001 "
        "allows; correct them and run `python -m hpc_xfer.shards index sans`, or raise max_broken "
        "to 0.6"
    ]
    allowed = CLIP.replace("epochs", "max_broken: 0.6, epochs")
    assert pretrain(tmp_path, site, allowed) == []
    assert source_notes(tmp_path, site, allowed)[-1] == (
        "source 'sans': at most 400 of 1,000 samples are of use to clip, and neighbors take the "
        "place of the others"
    )


def test_a_key_that_most_samples_lack_is_told(tmp_path: Path) -> None:
    site = odd(
        tmp_path / "sans",
        fields="jpg json",
        json_keys=("alt", "url_text"),
        texts=(("alt", 990), ("url_text", 12)),
    )
    block = CLIP.replace("epochs", "caption: {keys: KEYS}, max_broken: 0.02, epochs")
    (refused,) = pretrain(tmp_path, site, block.replace("KEYS", "url_text"))
    assert "988 of 1,000 samples of 'sans' are of no use to clip, more than" in refused
    assert source_notes(tmp_path, site, block.replace("KEYS", "[url_text, alt]")) == [
        "source 'sans': the keys of captions have a text: 'url_text' in 12, 'alt' in 990 of 1,000 "
        "samples",
    ]


def test_classes_without_samples_are_told_to_those_who_learn_classes(tmp_path: Path) -> None:
    first = "0; classes seem to be numbered from 1"
    site = odd(tmp_path / "sans", Oddity(NO_SAMPLE, 1, first, of="classes"))
    assert source_notes(tmp_path, site, CLIP) == []
    assert source_notes(tmp_path, site, CLIP.replace("clip", "supervised")) == [
        "source 'sans': a class without samples: 1 of 2 classes, the first 0; classes seem to be "
        "numbered from 1; no image trains their outputs"
    ]


def test_shards_of_a_source_that_are_not_used_are_told(tmp_path: Path) -> None:
    site = odd(tmp_path / "sans")
    (tmp_path / "sans/part-2").mkdir()
    for name in ("1.tar.gz", "part-2/1.tar"):
        (tmp_path / "sans" / name).touch()
    assert [note.split(";")[0] for note in source_notes(tmp_path, site, CLIP)] == [
        "source 'sans': sans: 1 compressed shard is not used, the first 1.tar.gz",
        "source 'sans': sans: 1 shard in a deeper folder is not used, the first part-2/1.tar",
    ]


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
