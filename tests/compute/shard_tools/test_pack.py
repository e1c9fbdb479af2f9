"""`shards make`: folders, tables and data sets to shards; killed, resumed, shrunk, and honest."""

import csv
import gzip
import io
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from hpc_xfer import shards as commands
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.shard_tools.inputs import ImageFolder
from hpc_xfer.compute.shard_tools.pack import PackOptions, pack, write_shards
from hpc_xfer.compute.shard_tools.reencode import Reencoding, keep_file
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError, StudyError
from tests.conftest import ROOT
from tests.tars import png, samples
from tests.waiting import wait_for

Files = dict[str, bytes]


def encoded(image: Image.Image, file_format: str = "jpeg", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images of two classes, one of them in a format that shards do not know."""
    folder = tmp_path / "my photos"
    for name in ("big_cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            (folder / name / f"{i}.JPG").write_bytes(png(80 * i, "jpeg"))
    (folder / "dog" / "2.JPG").unlink()
    Image.new("RGB", (8, 6), (9, 9, 9)).save(folder / "dog" / "2.bmp")
    return folder


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Sixty images of noise in two classes."""
    folder = tmp_path / "many"
    for i in range(60):
        path = folder / str(i % 2) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noise(40 + i, 40, i)))
    return folder


def make(source: Path | str, out: Path, *options: str) -> int:
    return commands.main(["make", str(source), str(out), "--workers", "1", *options])


def contents(out: Path) -> list[dict[str, bytes]]:
    index = ShardIndex.load(out)
    shards = map(open_shard, map(index.path, index.entries))
    return [shard.read(i) for shard in shards for i in range(len(shard))]


def files_of(out: Path) -> Files:
    return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_make_packs_an_image_folder(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert make(photos, out, "--per-shard", "4") == 0
    assert capsys.readouterr().out == f"{out}: 6 samples in 2 shards, 2 classes\n"
    index = ShardIndex.load(out)
    assert index.classes == ("big cat", "dog")
    found = [(sample["txt"], sample["cls"]) for sample in contents(out)]
    assert sorted(found) == [(b"big cat", b"0")] * 3 + [(b"dog", b"1")] * 3
    assert found != sorted(found)  # shuffled
    assert index.fields == ("cls", "jpg", "png", "txt")  # the bmp became a png
    assert commands.main(["check", str(out), "--workers", "1"]) == 0


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
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")
    assert len(ShardIndex.load(tmp_path / "1").entries) > 1


def processes_with(variable: str) -> list[str]:
    """Those that were started, by whomever, with this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(path.name)
        except OSError:  # it ended, or is not ours
            pass
    return found


def test_a_call_that_is_killed_goes_on_where_it_was(many: Path, tmp_path: Path) -> None:
    make(many, tmp_path / "undisturbed", "--per-shard", "1", "--short-side", "30")
    out, mark = tmp_path / "killed", f"XFER_TEST={tmp_path}"
    call = [sys.executable, "-m", "hpc_xfer.shards", "make", str(many), str(out), "--workers", "2"]
    call += ["--per-shard", "1", "--short-side", "30"]
    env = {**os.environ, "XFER_TEST": str(tmp_path)}
    with subprocess.Popen(call, cwd=ROOT, env=env, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: len(list(out.glob(".making/*.json"))) >= 3)
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not processes_with(mark))  # its processes go with it
    assert not (out / "index.json").exists()
    finished = {path.stem for path in out.glob(".making/*.json")}
    for look in (index_folder, ShardIndex.load):  # what is there would pass for the whole
        with pytest.raises(
            DataError, match=r"is not finished: `shards make` or .* run the same command again"
        ):
            look(out)
    before = {name: (out / f"{name}.tar").stat().st_mtime_ns for name in finished}
    assert 3 <= len(finished) < 60
    make(many, out, "--per-shard", "1", "--short-side", "30")
    assert files_of(out) == files_of(tmp_path / "undisturbed")
    assert {name: (out / f"{name}.tar").stat().st_mtime_ns for name in finished} == before


def test_a_shard_that_was_lost_half_way_is_made_again(many: Path, tmp_path: Path) -> None:
    out, packing = tmp_path / "out", PackOptions(per_shard=20)

    def stop(done: int, total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(out, ImageFolder(many), packing, progress=stop)
    (out / "000000.tar").write_bytes(b"cut")
    whole = pack(tmp_path / "whole", ImageFolder(many), packing)
    seen: list[tuple[int, int]] = []
    again = pack(out, ImageFolder(many), packing, progress=lambda *at: seen.append(at))
    assert again.index.fingerprint == whole.index.fingerprint
    assert seen == [(20, 60), (40, 60), (60, 60)]


def test_the_same_call_again_finds_all_done(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    make(photos, out)
    before = files_of(out)
    capsys.readouterr()
    assert make(photos, out, "--workers", "2") == 0
    assert capsys.readouterr().out.endswith("6 samples in 1 shards, 2 classes, made before\n")
    assert files_of(out) == before


@pytest.mark.parametrize(
    ("options", "other"),
    [
        (["--seed", "1"], "seed"),
        (["--per-shard", "7"], "size"),
        (["--shard-mb", "7"], "size"),
        (["--short-side", "9", "--seed", "1"], "reencoding, seed"),
    ],
)
def test_another_call_into_the_same_folder_is_refused(
    photos: Path, tmp_path: Path, options: list[str], other: str
) -> None:
    out = tmp_path / "out"
    make(photos, out)
    with pytest.raises(StudyError) as refused:
        make(photos, out, *options)
    assert str(refused.value) == (
        f"{out}: holds shards that were begun with another {other}; name another folder, or remove "
        "it to make them anew"
    )


def test_another_input_into_the_same_folder_is_refused(photos: Path, tmp_path: Path) -> None:
    make(photos, tmp_path / "out")
    (photos / "dog" / "new.jpg").write_bytes(png(1, "jpeg"))
    with pytest.raises(StudyError, match="begun with another input; name another folder"):
        make(photos, tmp_path / "out")


def test_printed_characters_do_not_replace_shards_that_were_made(
    photos: Path, tmp_path: Path
) -> None:
    make(photos, tmp_path / "mono")
    with pytest.raises(StudyError, match="holds shards that were not rendered; name another"):
        commands.main(["characters", str(tmp_path), "--source", "mono", "--samples", "9"])
    assert len(contents(tmp_path / "mono")) == 6


def test_shards_have_about_the_size_that_was_asked(many: Path, tmp_path: Path) -> None:
    make(many, tmp_path / "out", "--shard-mb", "0.04")
    sizes = [entry.bytes for entry in ShardIndex.load(tmp_path / "out").entries]
    assert len(sizes) > 2 and all(30_000 < size < 60_000 for size in sizes[:-1])  # 10 kB of end


# What is broken.


def test_broken_images_are_left_out_counted_and_listed(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "dog" / "0.JPG").write_bytes(b"not an image")
    (photos / "dog" / "1.JPG").write_bytes(encoded(noise(64, 64))[:900])
    out = tmp_path / "out"
    with pytest.raises(DataError) as refused:
        make(photos, out)
    assert str(refused.value).startswith(
        f"{out}: 2 of 6 samples are broken, more than --max-broken 0.001; broken.txt there lists "
        f"them, the first: {photos}/dog/"
    )
    assert not (out / "index.json").exists()
    lines = sorted((out / "broken.txt").read_text().splitlines())
    assert lines[0] == f"{photos}/dog/0.JPG: is not an image; replace or remove it"
    assert lines[1].startswith(f"{photos}/dog/1.JPG: cannot be decoded (") and len(lines) == 2

    assert make(photos, out, "--max-broken", "0.5", "--json") == 0  # all that there is to do
    assert json.loads(capsys.readouterr().out)["broken"] == 2
    assert len(contents(out)) == 4
    capsys.readouterr()
    make(photos, out, "--max-broken", "0.5")
    told = "4 samples in 1 shards, 2 classes, 2 broken ones left out, made before\n"
    assert capsys.readouterr().out.endswith(told)


def test_nothing_but_broken_images_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "in/cat").mkdir(parents=True)
    (tmp_path / "in/cat/0.png").write_bytes(b"")
    with pytest.raises(DataError, match="all samples are broken"):
        make(tmp_path / "in", tmp_path / "out", "--max-broken", "1")
    with pytest.raises(DataError, match="none of the first 1 samples is whole"):
        make(tmp_path / "in", tmp_path / "other", "--shard-mb", "1")


def test_a_bomb_is_left_out_before_it_is_unpacked() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "png")
    assert len(bomb) < 60_000  # 1.2 GB as RGB
    for read in (keep_file, Reencoding(64).apply):
        with pytest.raises(DataError, match=r"bomb: cannot be decoded .*decompression bomb"):
            read(bomb, "bomb")


# How images are stored.


def test_a_file_is_stored_as_what_it_is_whatever_its_name() -> None:
    assert keep_file(png(), "a.jpg") == ("png", png())
    photo = encoded(noise(8, 8))
    assert keep_file(photo, "a.png") == ("jpg", photo)
    web = encoded(noise(8, 8), "webp")
    assert keep_file(web, "a.webp") == ("webp", web)


def test_of_what_moves_the_first_picture_is_kept() -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    for file_format in ("webp", "png", "gif"):
        moving = encoded(first, file_format, save_all=True, append_images=[second], lossless=True)
        field, data = keep_file(moving, "a")
        assert field == "png" and not getattr(decoded(data), "is_animated", False)
        assert decoded(data).getpixel((0, 0)) == (255, 0, 0)


def test_large_images_shrink_to_the_short_side_and_small_ones_stay() -> None:
    small = Reencoding(short_side=48, quality=80)
    assert decoded(small.apply(encoded(noise(200, 100)), "a")[1]).size == (96, 48)
    assert decoded(small.apply(encoded(noise(100, 900), "png"), "a")[1]).size == (48, 432)
    photo = encoded(noise(48, 70))
    assert small.apply(photo, "a") == ("jpg", photo)
    field, data = small.apply(encoded(noise(20, 30), "png"), "a")
    assert (field, decoded(data).size) == ("jpg", (20, 30))


def test_the_quality_alone_encodes_at_full_size() -> None:
    field, data = Reencoding(quality=30).apply(encoded(noise(64, 64), "png"), "a")
    assert (field, decoded(data).size) == ("jpg", (64, 64))
    assert len(data) < len(Reencoding(quality=95).apply(encoded(noise(64, 64), "png"), "a")[1])


def test_a_photo_is_turned_as_its_camera_says() -> None:
    half = Image.new("RGB", (40, 20))
    half.paste((255, 255, 255), (0, 0, 20, 20))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: left becomes top
    turned = decoded(Reencoding(short_side=10).apply(encoded(half, exif=exif), "a")[1])
    assert turned.size == (10, 20) and not turned.getexif()
    assert turned.getpixel((5, 2))[0] > 200 > 50 > turned.getpixel((5, 17))[0]  # type: ignore[index]
    small = decoded(Reencoding(short_side=99).apply(encoded(half, exif=exif), "a")[1])
    assert small.size == (20, 40)


def grey16() -> bytes:
    return encoded(Image.fromarray(np.full((30, 30), 30_000, np.uint16)), "png")


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (encoded(noise(30, 30).convert("L")), "L"),
        (encoded(noise(30, 30).convert("CMYK")), "RGB"),
        (encoded(noise(30, 30).convert("P"), "png"), "RGB"),
        (encoded(noise(30, 30).convert("RGBA"), "webp"), "RGB"),
        (grey16(), "RGB"),
    ],
    ids=["grey", "CMYK", "palette", "alpha", "16 bits"],
)
def test_unusual_pixels_become_usual_ones(data: bytes, mode: str) -> None:
    field, small = Reencoding(short_side=16).apply(data, "a")
    assert (field, decoded(small).mode, decoded(small).size) == ("jpg", mode, (16, 16))


def test_sixteen_bits_become_eight_and_not_white() -> None:
    assert 110 < np.asarray(decoded(Reencoding(16).apply(grey16(), "a")[1])).mean() < 125


# Tables.


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(rows)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Callable[[int], str]:
    """The path of image i, relative to tmp_path."""
    (tmp_path / "img").mkdir()

    def path(i: int) -> str:
        (tmp_path / f"img/{i}.png").write_bytes(png(i))
        return f"img/{i}.png"

    return path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_table_names_images_captions_and_classes(
    tmp_path: Path, images: Callable[[int], str], name: str
) -> None:
    hard = 'two\nlines, a comma, a "quote"'
    table = write_csv(
        tmp_path / name,
        [
            ["text", "file", "kind", "unused"],
            ["a cat", images(0), "cat", 1],
            [hard, str(tmp_path / images(1)), "ape", 2],
            ["a cat again", images(0), "cat", 3],
        ],
    )
    columns = ["--image-column", "file", "--caption-column", "text", "--label-column", "kind"]
    make(table, tmp_path / "out", *columns)
    assert ShardIndex.load(tmp_path / "out").classes == ("ape", "cat")
    found = sorted(
        (each["txt"].decode(), each["cls"], each["png"]) for each in contents(tmp_path / "out")
    )
    assert found == [
        ("a cat", b"1", png(0)),
        ("a cat again", b"1", png(0)),
        (hard, b"0", png(1)),
    ]


def test_class_names_are_captions_where_there_are_no_others(
    tmp_path: Path, images: Callable[[int], str]
) -> None:
    table = write_csv(tmp_path / "t.csv", [["image", "label"], [images(0), "cat"]])
    make(table, tmp_path / "out", "--label-column", "label")
    assert contents(tmp_path / "out") == [{"png": png(0), "cls": b"0", "txt": b"cat"}]


def test_class_numbers_may_have_names_beside_the_table(
    tmp_path: Path, images: Callable[[int], str]
) -> None:
    table = tmp_path / "t.parquet"
    columns = {"image": [images(0), images(1)], "label": pa.array([2, 0], pa.int16())}
    parquet.write_table(pa.table(columns), table)
    make(table, tmp_path / "a", "--label-column", "label")
    assert ShardIndex.load(tmp_path / "a").classes == ("0", "1", "2")
    assert ShardIndex.load(tmp_path / "a").fields == ("cls", "png")
    (tmp_path / "classes.json").write_text('["ape", "bee", "cat"]')
    make(table, tmp_path / "b", "--label-column", "label")
    assert ShardIndex.load(tmp_path / "b").classes == ("ape", "bee", "cat")


def test_categories_in_a_table_are_names(tmp_path: Path, images: Callable[[int], str]) -> None:
    table = tmp_path / "t.parquet"
    kinds = pa.array(["dog", "cat"]).dictionary_encode()
    parquet.write_table(pa.table({"image": [images(0), images(1)], "label": kinds}), table)
    make(table, tmp_path / "out", "--label-column", "label")
    assert ShardIndex.load(tmp_path / "out").classes == ("cat", "dog")


def test_rows_with_gaps_are_broken_samples(tmp_path: Path, images: Callable[[int], str]) -> None:
    rows = [
        ["image", "text", "label"],
        [images(0), "fine", "3"],
        [images(1), " ", "3"],
        [images(2), "no class", ""],
        ["", "no image", "3"],
        ["img/none.png", "no file", "3"],
    ]
    table = write_csv(tmp_path / "t.csv", rows)
    columns = ["--caption-column", "text", "--label-column", "label"]
    make(table, tmp_path / "out", *columns, "--max-broken", "0.8")
    assert contents(tmp_path / "out") == [{"png": png(0), "txt": b"fine", "cls": b"3"}]
    here = tmp_path / "img"
    assert sorted((tmp_path / "out/broken.txt").read_text().splitlines()) == [
        f"{here}/1.png: its caption is empty; write one or remove the row",
        f"{here}/2.png: its label is empty; write one or remove the row",
        f"{here}/none.png: cannot be read (No such file or directory); check the file",
        "a row names no image; fill it in or remove it",
    ]


def test_a_table_that_is_none_is_named(tmp_path: Path, images: Callable[[int], str]) -> None:
    table = write_csv(tmp_path / "t.csv", [["file", "text"], [images(0), "a"]])
    with pytest.raises(StudyError) as refused:
        make(table, tmp_path / "out")
    assert str(refused.value) == (
        f"{table}: has no column 'image', but 'file', 'text'; name columns with --image-column, "
        "--caption-column and --label-column"
    )
    with pytest.raises(DataError, match=r"none\.csv: cannot be read as a table"):
        make(tmp_path / "none.csv", tmp_path / "out")
    (tmp_path / "t.csv").write_text("image,text\na.png,b,c\n")
    with pytest.raises(DataError, match=r"t\.csv: cannot be read as a table .*got 3"):
        make(table, tmp_path / "out")
    (tmp_path / "t.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"t\.parquet: cannot be read as a table"):
        make(tmp_path / "t.parquet", tmp_path / "out")
    write_csv(table, [["image"]])
    with pytest.raises(DataError, match="there are no samples to write; check the input"):
        make(table, tmp_path / "out")


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (pa.array([0.5]), "a label is no class number"),
        (pa.array([-1]), "has the label -1; class numbers are 0, 1, 2"),
        (pa.array([[1]]), "a label is no class number"),
    ],
)
def test_labels_that_are_no_classes_are_named(
    tmp_path: Path, images: Callable[[int], str], labels: pa.Array, why: str
) -> None:
    table = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"image": [images(0)], "label": labels}), table)
    with pytest.raises(DataError, match=why):
        make(table, tmp_path / "out", "--label-column", "label")


# torchvision's data sets.


def write_mnist(root: Path, digits: list[int]) -> Path:
    """As it is downloaded, smaller."""
    raw = root / "MNIST/raw"
    raw.mkdir(parents=True)
    pixels = np.stack([np.full((28, 28), 10 * digit, np.uint8) for digit in digits])
    for part in ("train", "t10k"):
        images = struct.pack(">IIII", 0x803, len(digits), 28, 28) + pixels.tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = struct.pack(">II", 0x801, len(digits)) + bytes(digits)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(b""))
    return root


def test_a_data_set_of_torchvision_is_packed_without_loss(tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "data", [3, 7])
    make("torchvision:MNIST", tmp_path / "out", "--root", str(root))
    found = sorted(contents(tmp_path / "out"), key=lambda sample: sample["cls"])
    assert [(each["cls"], each["txt"]) for each in found] == [
        (b"3", b"3 - three"),
        (b"7", b"7 - seven"),
    ]
    assert decoded(found[1]["png"]).getpixel((5, 5)) == 70
    assert len(ShardIndex.load(tmp_path / "out").classes or ()) == 10


def test_a_data_set_of_torchvision_can_be_encoded_smaller(tmp_path: Path) -> None:
    root = write_mnist(tmp_path / "data", [3, 7])
    make("torchvision:MNIST", tmp_path / "out", "--root", str(root), "--short-side", "14")
    assert [decoded(each["jpg"]).size for each in contents(tmp_path / "out")] == [(14, 14)] * 2


def test_files_of_a_torchvision_data_set_stay_as_they_are(photos: Path, tmp_path: Path) -> None:
    make("torchvision:ImageFolder", tmp_path / "out", "--root", str(photos))
    assert ShardIndex.load(tmp_path / "out").classes == ("big_cat", "dog")
    assert {each["jpg"] for each in contents(tmp_path / "out") if "jpg" in each} == {
        png(80 * i, "jpeg") for i in range(3)
    }


@pytest.mark.parametrize(
    ("name", "error", "why"),
    [
        ("CIFAR11", StudyError, "torchvision has no such data set; correct the name"),
        ("vision", StudyError, "torchvision has no such data set; correct the name"),
        ("CocoCaptions", StudyError, "needs more than a folder"),
        ("CIFAR10", DataError, "cannot be opened in .* download it there, on a node with a"),
    ],
)
def test_a_data_set_that_is_not_there_is_named(
    tmp_path: Path, name: str, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        make(f"torchvision:{name}", tmp_path / "out", "--root", str(tmp_path))


def test_a_damaged_image_of_a_data_set_that_only_opens_it_is_left_out(tmp_path: Path) -> None:
    """Caltech101 hands out files whose headers alone were read."""
    for category in ("BACKGROUND_Google", "ant", "bass"):
        folder = tmp_path / "data/caltech101/101_ObjectCategories" / category
        folder.mkdir(parents=True)
        (folder / "image_0001.jpg").write_bytes(encoded(noise(64, 64)))
    (folder / "image_0001.jpg").write_bytes(encoded(noise(64, 64))[:900])
    options = ("--root", str(tmp_path / "data"), "--max-broken", "0.5")
    make("torchvision:Caltech101", tmp_path / "out", *options)
    (left_out,) = (tmp_path / "out/broken.txt").read_text().splitlines()
    assert left_out.startswith("Caltech101[1]: cannot be decoded (")


def test_a_data_set_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        make("torchvision:MNIST", tmp_path / "out")
    assert caught.value.code == 2
    assert "torchvision:MNIST needs --root DIR" in capsys.readouterr().err


def test_shards_that_others_made_are_not_written_over(photos: Path, tmp_path: Path) -> None:
    write_shards(tmp_path / "out", samples(1), None)
    with pytest.raises(StudyError, match="holds shards already; remove them or name another"):
        make(photos, tmp_path / "out")
