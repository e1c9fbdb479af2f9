"""Tables as input of `shards make`: images, captions and labels in columns."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError, StudyError
from tests.compute.shard_tools.making import make, read_samples
from tests.tars import png


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
        (each["txt"].decode(), each["cls"], each["png"]) for each in read_samples(tmp_path / "out")
    )
    assert found == [
        ("a cat", b"1", png(0)),
        ("a cat again", b"1", png(0)),
        (hard, b"0", png(1)),
    ]


def test_class_names_become_captions_if_there_are_none(
    tmp_path: Path, images: Callable[[int], str]
) -> None:
    table = write_csv(tmp_path / "t.csv", [["image", "label"], [images(0), "cat"]])
    make(table, tmp_path / "out", "--label-column", "label")
    assert read_samples(tmp_path / "out") == [{"png": png(0), "cls": b"0", "txt": b"cat"}]


def test_class_numbers_get_names_from_a_file_beside_the_table(
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


def test_categories_in_a_table_are_class_names(
    tmp_path: Path, images: Callable[[int], str]
) -> None:
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
    assert read_samples(tmp_path / "out") == [{"png": png(0), "txt": b"fine", "cls": b"3"}]
    here = tmp_path / "img"
    assert sorted((tmp_path / "out/broken.txt").read_text().splitlines()) == [
        f"{here}/1.png: its caption is empty; write one or remove the row",
        f"{here}/2.png: its label is empty; write one or remove the row",
        f"{here}/none.png: cannot be read (No such file or directory); check the file",
        "row 4: has no image; fill in its path or remove the row",
    ]


def test_a_table_that_cannot_be_read_is_refused(
    tmp_path: Path, images: Callable[[int], str]
) -> None:
    table = write_csv(tmp_path / "t.csv", [["file", "text"], [images(0), "a"]])
    with pytest.raises(StudyError) as refused:
        make(table, tmp_path / "out")
    assert str(refused.value) == (
        f"{table}: has no column 'image', only 'file', 'text'; name columns with --image-column, "
        "--caption-column and --label-column"
    )
    with pytest.raises(StudyError, match=r"none\.csv: no such file or folder; correct SOURCE"):
        make(tmp_path / "none.csv", tmp_path / "out")
    (tmp_path / "t.csv").write_text("image,text\na.png,b,c\n")
    with pytest.raises(DataError, match=r"t\.csv:2: has 3 fields, but the first line names 2"):
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
        (pa.array([0.5]), "the label '0.5' in row 1 is not a whole number; write 0, 1"),
        (pa.array([-1]), "the label '-1' in row 1 is below 0; write 0, 1"),
        (pa.array([[1]]), "labels are of type list<.*>; write class numbers"),
    ],
)
def test_labels_that_are_not_classes_are_refused(
    tmp_path: Path, images: Callable[[int], str], labels: pa.Array, why: str
) -> None:
    table = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"image": [images(0)], "label": labels}), table)
    with pytest.raises(DataError, match=why):
        make(table, tmp_path / "out", "--label-column", "label")


def test_notes_that_may_hold_the_reason_are_told_with_a_failure(
    tmp_path: Path, images: Callable[[int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text(f"image,label\n{images(0)},None\n{images(1)},cat\n")
    with pytest.raises(DataError, match="1 of 2 samples are broken"):
        make(tmp_path / "t.csv", tmp_path / "out", "--label-column", "label")
    assert "note: 1 label is a word for a missing value, the first 'None' in row 1" in (
        capsys.readouterr().out
    )
