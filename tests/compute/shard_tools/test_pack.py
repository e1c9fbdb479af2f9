"""`shards make`: the shards of an image folder, and what happens to broken images."""

import json
from pathlib import Path

import pytest

from hpc_xfer import shards
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import encoded, make, noise, read_files, read_samples


def test_make_packs_an_image_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert make(photos, out, "--per-shard", "4") == 0
    assert capsys.readouterr().out == f"{out}: 6 samples in 2 shards, 2 classes\n"
    index = ShardIndex.load(out)
    assert index.classes == ("big cat", "dog")
    found = [(sample["txt"], sample["cls"]) for sample in read_samples(out)]
    assert sorted(found) == [(b"big cat", b"0")] * 3 + [(b"dog", b"1")] * 3
    assert found != sorted(found)  # shuffled
    assert index.fields == ("cls", "jpg", "png", "txt")  # the bmp became a png
    assert shards.main(["check", str(out), "--workers", "1"]) == 0


def test_the_seed_decides_the_shuffle(photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        make(photos, tmp_path / name, "--seed", seed)
    a, b, c = (ShardIndex.load(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def test_any_number_of_processes_makes_the_same_files(many: Path, tmp_path: Path) -> None:
    for workers in ("1", "3"):
        out = tmp_path / workers
        assert (
            make(many, out, "--workers", workers, "--shard-mb", "0.05", "--short-side", "24") == 0
        )
    assert read_files(tmp_path / "1") == read_files(tmp_path / "3")
    assert len(ShardIndex.load(tmp_path / "1").entries) > 1


def test_shards_have_about_the_requested_size(many: Path, tmp_path: Path) -> None:
    make(many, tmp_path / "out", "--shard-mb", "0.04")
    sizes = [entry.bytes for entry in ShardIndex.load(tmp_path / "out").entries]
    assert len(sizes) > 2 and all(
        30_000 < size < 60_000 for size in sizes[:-1]
    )  # the end of a tar takes 10 kB


def test_broken_images_are_counted_listed_and_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "dog" / "0.JPG").write_bytes(b"not an image")
    (photos / "dog" / "1.JPG").write_bytes(encoded(noise(64, 64))[:900])
    out = tmp_path / "out"
    with pytest.raises(DataError) as refused:
        make(photos, out)
    assert str(refused.value).startswith(
        f"{out}: 2 of 6 samples are broken, more than --max-broken 0.001; broken.txt lists "
        f"them, the first: {photos}/dog/"
    )
    assert not (out / "index.json").exists()
    lines = sorted((out / "broken.txt").read_text().splitlines())
    assert lines[0] == f"{photos}/dog/0.JPG: is not an image; replace or remove it"
    assert lines[1].startswith(f"{photos}/dog/1.JPG: cannot be decoded (") and len(lines) == 2

    assert make(photos, out, "--max-broken", "0.5", "--json") == 0  # the rest is there already
    assert json.loads(capsys.readouterr().out)["broken"] == 2
    assert len(read_samples(out)) == 4
    capsys.readouterr()
    make(photos, out, "--max-broken", "0.5")
    counted, first = capsys.readouterr().out.splitlines()
    assert counted == (
        f"{out}: 4 samples in 1 shard, 2 classes, 2 broken left out (broken.txt), made before"
    )
    assert first.startswith(f"note: the first broken one: {photos}/dog/")


def test_a_folder_with_broken_images_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in/cat").mkdir(parents=True)
    (tmp_path / "in/cat/0.png").write_bytes(b"")
    with pytest.raises(DataError, match="all samples are broken"):
        make(tmp_path / "in", tmp_path / "out", "--max-broken", "1")
    with pytest.raises(DataError, match="other: all of the first 1 samples are broken"):
        make(tmp_path / "in", tmp_path / "other", "--shard-mb", "1")
