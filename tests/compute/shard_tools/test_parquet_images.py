"""Parquet as Hugging Face writes it: embedded images, lists of captions, several files."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from hpc_xfer.compute.shard_tools.table_input import Table
from hpc_xfer.compute.shard_tools.tables.table_rows import Columns
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError, StudyError
from tests.compute.shard_tools.making import make, read_samples
from tests.tars import png

LABELS = ["--label-column", "label"]


def write(path: Path, first: int, count: int, of_struct: bool = True) -> Path:
    """Images as the library `datasets` stores them, in row groups of two."""
    images: list[object] = [png(first + i) for i in range(count)]
    if of_struct:
        images = [{"bytes": each, "path": f"{i}.png"} for i, each in enumerate(images)]
    labels = [(first + i) % 2 for i in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"image": images, "label": labels}), path, row_group_size=2)
    return path


@pytest.mark.parametrize("of_struct", [True, False], ids=["struct", "bytes"])
def test_images_inside_a_table_are_packed(tmp_path: Path, of_struct: bool) -> None:
    table = write(tmp_path / "t.parquet", 0, 5, of_struct)
    make(table, tmp_path / "out", *LABELS)
    found = {sample["png"]: sample["cls"] for sample in read_samples(tmp_path / "out")}
    assert found == {png(i): str(i % 2).encode() for i in range(5)}


def test_a_folder_of_parts_is_one_table(tmp_path: Path) -> None:
    for part in range(2):
        write(tmp_path / f"set/data/train-0000{part}-of-00002.parquet", 3 * part, 3)
    make(tmp_path / "set", tmp_path / "out", *LABELS)
    assert {sample["png"] for sample in read_samples(tmp_path / "out")} == {
        png(i) for i in range(6)
    }
    (tmp_path / "set/data/train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"part 0 of 00002 of train is absent \(1 in all\)"):
        make(tmp_path / "set", tmp_path / "b", *LABELS)
    for out, pattern in (("b", "train-*.parquet"), ("c", "train-{00001..00001}-of-00002.parquet")):
        make(str(tmp_path / "set/data" / pattern), tmp_path / out, *LABELS)
        assert len(read_samples(tmp_path / out)) == 3
    with pytest.raises(DataError, match=r"train-00000-of-00002\.parquet: is listed but absent"):
        make(str(tmp_path / "set/data/train-{00000..00001}-of-00002.parquet"), tmp_path / "d")


def test_training_and_test_images_are_not_packed_together(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"set/data/{split}-00000-of-00001.parquet", 0, 2)
    with pytest.raises(StudyError, match=r"holds Parquet files of test, train; name one split, s"):
        make(tmp_path / "set", tmp_path / "out", *LABELS)


@pytest.mark.parametrize(
    "names", [("train", "test"), ("a_train_0", "a_val_0"), ("train/0", "test/0")]
)
def test_splits_are_told_by_any_usual_name(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write(tmp_path / f"{name}.parquet", 0, 2)
    with pytest.raises(StudyError, match=rf"holds Parquet files of t.*; name .*{names[0]}\.par"):
        make(str(tmp_path / "**/*.parquet"), tmp_path / "out", *LABELS)
    make(tmp_path / f"{names[1]}.parquet", tmp_path / "out", *LABELS)


def test_what_lies_beside_parquet_files_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("set/a", "set/data/b", "set/more/c"):
        write(tmp_path / f"{name}.parquet", 0, 2)
    (tmp_path / "set/cat").mkdir()
    (tmp_path / "set/cat/1.png").write_bytes(png(1))
    make(tmp_path / "set", tmp_path / "out", *LABELS)
    out = capsys.readouterr().out
    assert "note: 2 tables in" in out and "not read, the first data/b.parquet\n" in out
    assert "note: 1 image in" in out and "not read, the first cat/1.png\n" in out


@pytest.mark.parametrize(
    ("source", "options", "why"),
    [
        ("set/a.parquet", ["--split", "test"], "--split is for torchvision:NAME, which "),
        ("set/a.parquet", ["--quoting", "none"], r"--quoting is for a \.csv or \.tsv, which "),
        ("photos", ["--caption-column", "text"], r"is for a table, which .*, such as .*/a\.csv$"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(
    tmp_path: Path, source: str, options: list[str], why: str
) -> None:
    write(tmp_path / "set/a.parquet", 0, 2)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.csv").touch()
    with pytest.raises(StudyError, match=why):
        make(tmp_path / source, tmp_path / "out", *options)


def test_an_image_may_be_a_path_or_absent(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    images = [{"bytes": None, "path": "a.png"}, {"bytes": None, "path": None}, None]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"image": pa.array(images, kind)}), table)
    make(table, tmp_path / "out", "--max-broken", "0.9")
    assert read_samples(tmp_path / "out") == [{"png": png(1)}]
    assert sorted((tmp_path / "out/broken.txt").read_text().splitlines()) == [
        f"{table}: row {n}: has no image; fill it in or remove the row" for n in (2, 3)
    ]


def test_all_captions_of_an_image_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {"image": [png(0), png(1)], "captions": [["a", "b"], ["c"]]}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    make(tmp_path / "t.parquet", tmp_path / "out", "--caption-column", "captions")
    found = {sample["txt"]: json.loads(sample.get("json", b"{}")) for sample in
             read_samples(tmp_path / "out")}  # fmt: skip
    assert found == {b"a": {"captions": ["a", "b"]}, b"c": {}}
    assert ShardIndex.load(tmp_path / "out").json_keys == ("captions",)
    assert "note: images have up to 2 captions: the first is in txt" in capsys.readouterr().out


def test_a_caption_in_a_list_that_stands_for_none_is_no_caption(tmp_path: Path) -> None:
    columns = {"image": [png(0), png(1)], "caption": [["nan", "a"], ["b", None, ""]]}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = Table(tmp_path / "t.parquet", Columns(caption="caption"))
    assert [(row.caption, row.captions) for row in found.rows([0, 1])] == [
        ("a", ("a",)),
        ("b", ("b",)),
    ]
    assert found.notes == ()  # no image has several


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary(), pa.binary_view()])
def test_paths_are_read_as_any_writer_marks_them(tmp_path: Path, kind: pa.DataType) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    columns = {"image": pa.array(["a.png"]).cast(kind), "caption": pa.array(["a"]).cast(kind)}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    make(tmp_path / "t.parquet", tmp_path / "out", "--caption-column", "caption")
    assert read_samples(tmp_path / "out") == [{"png": png(1), "txt": b"a"}]


def test_lists_of_a_fixed_size_are_captions_too(tmp_path: Path) -> None:
    pairs = pa.array([["a", "b"]], pa.list_(pa.string_view(), 2))
    parquet.write_table(pa.table({"image": ["a.png"], "caption": pairs}), tmp_path / "t.parquet")
    found = Table(tmp_path / "t.parquet", Columns(caption="caption"))
    assert found.rows([0])[0].captions == ("a", "b")


def test_parts_of_pandas_go_together_where_one_has_gaps(tmp_path: Path) -> None:
    parts = [pa.array([0, 1]), pa.array([1.0, None]), pa.nulls(1), pa.array([2], pa.int8())]
    files = [tmp_path / f"{i}.parquet" for i in range(len(parts))]
    for path, part in zip(files, parts, strict=True):
        parquet.write_table(pa.table({"image": ["a.png"] * len(part), "label": part}), path)
    found = Table(files, Columns(label="label"))
    assert [row.label for row in found.rows(range(6))] == [0, 1, 1, None, None, 2]


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (pa.array([1.5]), "its column 'image' holds double, not paths or bytes of image files"),
        (pa.array([[1]]), "its column 'image' holds list"),
    ],
)
def test_an_image_column_of_something_else_is_refused(
    tmp_path: Path, column: pa.Array, why: str
) -> None:
    parquet.write_table(pa.table({"image": column}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=why):
        Table(tmp_path / "t.parquet", Columns())


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    columns = {"image": ["a.png"], "caption": pa.array([b"caf\xe9"])}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'caption' cannot be read .*UTF8"):
        Table(tmp_path / "t.parquet", Columns(caption="caption"))


def test_images_without_captions_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "t.parquet", 0, 2)
    make(table, tmp_path / "a")
    assert capsys.readouterr().out.endswith(
        "note: the images have no captions and no labels: they are fit for simclr alone\n"
    )
    make(table, tmp_path / "b", *LABELS, "--json")
    assert json.loads(capsys.readouterr().out)["notes"] == [
        "the images have no captions: they are fit for simclr and supervised, not for clip by "
        "captions"
    ]


def test_a_file_of_another_kind_is_no_table(tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "t.jsonl")
    with pytest.raises(DataError, match=r"t\.jsonl: is not a table that is read \(\.csv \.tsv"):
        make(tmp_path / "t.jsonl", tmp_path / "out")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/00000.tar").touch()
    with pytest.raises(DataError, match=r"holds tar shards already; run .*shards index"):
        make(tmp_path / "set", tmp_path / "out")
    with pytest.raises(DataError, match="names no file; correct the pattern"):
        make(str(tmp_path / "*.parquet"), tmp_path / "out")
