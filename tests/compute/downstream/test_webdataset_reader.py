"""Data sets of the user's own in tar shards, as CLIP_benchmark makes them."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer.compute.downstream import datasets
from hpc_xfer.compute.downstream.datasets import FingerprintCache
from hpc_xfer.compute.finetuning.cache import FinetuneCache
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo, dataset_info
from hpc_xfer.config.own_datasets.remarks import remarks
from hpc_xfer.dataset_tools.stand_ins.tiny_images import encoded, pixels
from hpc_xfer.errors import DataError
from tests.compute.downstream.own_datasets import load, refusal
from tests.tars import write_tar


def shard(path: Path, samples: list[tuple[int, int]]) -> None:
    """Write samples of (label, image number); images are webp, and labels end with a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for label, i in samples:
            for field, data in (
                ("webp", encoded(label, i, "webp")),
                ("cls", f"{label}\n".encode()),
            ):
                member = tarfile.TarInfo(f"s{label:03d}{i:06d}.{field}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def tars(tmp_path: Path) -> Location:
    """Three classes, two training shards and one test shard."""
    folder = tmp_path / "wds"
    shard(folder / "train/0.tar", [(0, 0), (1, 0), (2, 0)])
    shard(folder / "train/1.tar", [(2, 1), (0, 1)])
    shard(folder / "test/0.tar", [(1, 5), (2, 5), (0, 5)])
    (folder / "train/nshards.txt").write_text("2\n")
    (folder / "test/nshards.txt").write_text("1")
    (folder / "classnames.txt").write_text("cat\ndog\nred fox")
    (folder / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\na {c}!\n")
    return Location("webdataset", folder)


def test_shards_are_described_by_their_text_files_and_counted_when_they_are_read(
    tars: Location,
) -> None:
    info = dataset_info("animals", tars)
    assert info == DatasetInfo(
        name="animals",
        title="animals",
        classes=("cat", "dog", "red fox"),
        train=0,
        test=0,
        smallest_class=0,
        templates=("a photo of a {}.", "a {}!"),
        source=str(tars.path),
        complete=False,
        prompts_stated=True,
    )
    data = datasets.load(info, tars)
    assert data.info == replace(
        info,
        train=5,
        test=3,
        smallest_class=1,
        class_counts=(2, 1, 2),
        test_counts=(1, 1, 1),
        complete=True,
    )
    assert data.train.labels.tolist() == [0, 1, 2, 2, 0]
    expected = pixels(2, 1).mean(axis=(0, 1))
    found = data.train.image(3).float().mean(dim=(1, 2)).numpy()
    assert np.abs(found - expected).max() < 10
    datasets.check_readable(info, tars)


def test_listing_many_shards_shows_signs_of_life(tars: Location, tmp_path: Path) -> None:
    touches: list[str] = []
    info = dataset_info("animals", tars)
    datasets.training_images(info, tars, lambda: touches.append("probe"))
    assert touches == ["probe"] * 2
    cache = FingerprintCache(lambda: touches.append("run"), lambda key: tmp_path / key)
    datasets.load(info, tars, cache)
    again = touches.count("run")
    datasets.load(info, tars, replace(cache, touch=lambda: touches.append("again")))
    # Each file and image is read the first time only.
    shards, images = 3, 8
    files = again - touches.count("again") - images
    assert touches.count("again") == shards + files


def test_equal_images_of_shards_are_counted(tars: Location, tmp_path: Path) -> None:
    """The number is kept with the fingerprint: a second job reads no image for it."""
    shard(tars.path / "test/0.tar", [(1, 5), (2, 1), (0, 1)])
    cache = FingerprintCache(lambda: None, lambda key: tmp_path / key)
    for fingerprints in (None, cache, cache):
        data = datasets.load(dataset_info("animals", tars), tars, fingerprints)
        assert data.copies == {"test_in_train": 2}


def test_a_note_from_before_images_were_compared_is_made_again(
    tars: Location, tmp_path: Path
) -> None:
    shard(tars.path / "test/0.tar", [(1, 5), (2, 1), (0, 1)])
    cache = FingerprintCache(lambda: None, lambda key: tmp_path / f"{key}.json")
    data = datasets.load(dataset_info("animals", tars), tars, cache)
    [note] = tmp_path.glob("*.json")
    note.write_text(json.dumps({"schema": 1, "fingerprint": data.fingerprint}))
    assert datasets.load(dataset_info("animals", tars), tars, cache).copies == data.copies


def test_the_split_may_stand_anywhere_in_the_path(tars: Location) -> None:
    pattern = replace(tars, path=tars.path / "{split}")
    assert load("animals", pattern).fingerprint == load("animals", tars).fingerprint


def test_own_class_names_stand_in_for_those_of_the_folder(tars: Location) -> None:
    (tars.path / "classnames.txt").unlink()
    assert refusal("animals", tars).startswith("classnames.txt: no such file; write one class name")
    own = replace(tars, class_names=("a", "b", "c"), templates=("{}",))
    data = load("animals", own)
    assert (data.info.classes, data.info.templates) == (("a", "b", "c"), ("{}",))


def test_too_few_class_names_are_told(tars: Location) -> None:
    (tars.path / "classnames.txt").write_text("cat\ndog\n")
    assert "has class 2, but there are 2 class names; correct classnames.txt" in refusal(
        "animals", tars
    )


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("train/1.tar", None, "train/1.tar: cannot be read (No such file or directory), but"),
        ("train/1.tar", b"", "train/1.tar: is cut off after 0 bytes; copy it again"),
        ("train/1.tar", bytes(700), "train/1.tar: is cut off after 700 bytes; copy it again"),
        ("test/nshards.txt", b"many", "test/nshards.txt: must be the number of shards, got 'many'"),
        ("test/nshards.txt", b"1\n2\n", "test/nshards.txt: must be the number of shards"),
        (
            "test/nshards.txt",
            None,
            "test/nshards.txt: no such file; write the number of shards into "
            "it (1 tars are here now)",
        ),
        (
            "classnames.txt",
            b"cat\n\nred fox\n",
            "classnames.txt:2: is empty, and classes are numbered by their lines",
        ),
        (
            "zeroshot_classification_templates.txt",
            b"a photo\n",
            "zeroshot_classification_templates.txt: has the prompt 'a photo' without {c}",
        ),
    ],
)
def test_a_missing_or_cut_shard_is_told_before_a_run(
    tars: Location, file: str, content: bytes | None, told: str
) -> None:
    path = tars.path / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        dataset_info("animals", tars)
    assert str(caught.value).replace(f"{tars.path}/", "").startswith(told)


def test_shards_beyond_the_stated_number_are_not_passed_over(tars: Location) -> None:
    """nshards.txt is of an older copy: 1 of 2 shards would be used in silence."""
    (tars.path / "train/nshards.txt").write_text("1")
    (tars.path / "train/._0.tar").write_bytes(b"of macOS")
    with pytest.raises(DataError) as caught:
        dataset_info("animals", tars)
    assert str(caught.value).replace(f"{tars.path}/", "") == (
        "train/1.tar: is one of 1 tars that train/nshards.txt does not count (it says 1, for 0.tar "
        "and so on); correct the number or move them away"
    )


def test_a_data_set_without_training_shards_is_told_before_a_run(tars: Location) -> None:
    """Copies for zero-shot evaluation have test/ alone."""
    (tars.path / "train").rename(tars.path / "elsewhere")
    with pytest.raises(
        DataError, match=r"train: cannot be listed \(No such file or directory\), and"
    ):
        dataset_info("animals", tars)


def test_class_names_may_begin_with_the_mark_of_utf_8(tars: Location) -> None:
    (tars.path / "classnames.txt").write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\nred fox\r\n\r\n")
    assert dataset_info("animals", tars).classes == ("cat", "dog", "red fox")


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("a.cls", b"0")], "sample a has no image (webp png jpg jpeg)"),
        ([("a.png", b"x"), ("a.jpg", b"x"), ("a.cls", b"0")], "sample a has 2 images (png jpg)"),
        ([("a.png", b"x")], "sample a has no cls"),
        ([("a.png", b"x"), ("a.cls", b"-1")], "sample a: cls '-1' is not a class number"),
        ([("a.png", b"x"), ("a.cls", b"cat")], "sample a: cls 'cat' is not"),
        (
            [("a.png", b"x"), ("a.cls", b"0"), ("b.png", b"x"), ("b.cls", b"0"),
             ("a.png", b"y"), ("a.cls", b"1")],
            "sample a is there twice",
        ),
    ],
)  # fmt: skip
def test_a_sample_that_is_not_one_image_with_a_class_is_refused(
    tars: Location, members: list[tuple[str, bytes]], told: str
) -> None:
    write_tar(tars.path / "train/1.tar", members)
    assert refusal("animals", tars).startswith(f"train/1.tar: {told}")


def test_members_of_downstream_shards_that_belong_to_no_sample_are_told(tars: Location) -> None:
    path = tars.path / "test/0.tar"
    with tarfile.open(path, "a") as tar:
        tar.addfile(tarfile.TarInfo("README"))
    assert load("animals", tars).info.notes == (
        f"1 files without a suffix are left out, the first README in {path}",
    )


def test_a_shard_that_is_cut_at_a_block_is_told_when_it_is_read(tars: Location) -> None:
    path = tars.path / "train/0.tar"
    path.write_bytes(path.read_bytes()[:1024])
    assert "train/0.tar: is cut off or damaged" in refusal("animals", tars)


def test_a_shard_that_was_copied_twice_is_told(tars: Location) -> None:
    (tars.path / "train/1.tar").write_bytes((tars.path / "train/0.tar").read_bytes())
    assert "train/1.tar: sample s000000000 is in" in refusal("animals", tars)


def test_shards_may_be_named_by_classes_json(tars: Location) -> None:
    (tars.path / "classes.json").write_text('{"cat": "tomcat", "dog": "hound", "red fox": "vixen"}')
    data = load("animals", tars)
    assert data.info.classes == ("tomcat", "hound", "vixen")
    (tars.path / "classnames.txt").unlink()
    assert refusal("animals", tars).startswith("classnames.txt: no such file")
    (tars.path / "classes.json").write_text('["tomcat", "hound", "vixen"]')
    assert load("animals", tars).info.classes == data.info.classes
    (tars.path / "classnames.txt").write_text("vixen\ntomcat\nhound")
    assert "has the names of the folders in another order" in refusal("animals", tars)


def test_shards_of_one_class_are_refused_before_a_run(tars: Location) -> None:
    (tars.path / "classnames.txt").write_text("cat\n")
    assert refusal("animals", tars) == (
        "animals has one class, 'cat'; add another or name another data set"
    )


def test_a_test_set_of_one_class_is_refused(tars: Location) -> None:
    """Whoever always answers that class has 100%."""
    shard(tars.path / "test/0.tar", [(1, 5), (1, 6)])
    assert refusal("animals", tars) == (
        "data set 'animals': all 2 test images are of one class, 'dog', on which an encoder that "
        "always answers it is right; add images of others"
    )


def test_a_prompt_with_two_places_for_the_class_is_told(tars: Location) -> None:
    (tars.path / "zeroshot_classification_templates.txt").write_text("{c} or {c}\n")
    assert "the template '{} or {}' must have {} once, where the class goes" in refusal(
        "animals", tars
    )


def test_what_is_odd_about_shards_is_known_when_they_are_read(
    tars: Location, caplog: pytest.LogCaptureFixture
) -> None:
    shard(tars.path / "test/0.tar", [(1, 5), (1, 6), (0, 5)])
    assert [*remarks(dataset_info("animals", tars))] == []
    told = "1 of 3 classes has no test image, the first 'red fox': nothing is measured on them"
    assert told in [*remarks(load("animals", tars).info)]
    FinetuneCache().dataset("animals", tars, None)
    assert f"data set 'animals': {told}" in caplog.text
