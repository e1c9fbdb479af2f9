"""Tables of any size: read a batch of rows at a time, kept on disk, taken in any order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools.table_input import Table
from hpc_xfer.compute.shard_tools.tables.embedded_images import EmbeddedImages, to_store
from hpc_xfer.compute.shard_tools.tables.row_file import ImageKind, RowFile
from hpc_xfer.compute.shard_tools.tables.table_rows import Columns
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import StudyError
from tests.compute.shard_tools.making import make, read_samples
from tests.tars import png

LABELED = Columns("image", "caption", "label")
ROWS = 200_000  # several batches


def table(first: int = 0, rows: int = ROWS) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table({
        "image": [f"{i}.png" for i in numbers],
        "caption": [None if i % 7 == 0 else f"caption {i}" for i in numbers],
        "label": [f"class {i % 5}" for i in numbers],
    })  # fmt: skip


@pytest.mark.parametrize("row_group", [ROWS, 999])
def test_rows_of_many_batches_come_back_in_any_order(tmp_path: Path, row_group: int) -> None:
    parquet.write_table(table(), tmp_path / "t.parquet", row_group_size=row_group)
    found = Table(tmp_path / "t.parquet", LABELED, scratch=tmp_path / "out/.making")
    assert len(found) == ROWS
    for position in (ROWS - 1, 0, 65_536, 65_535, 7):
        (row,) = found.rows([position])
        assert row.image == str(tmp_path / f"{position}.png")
        assert row.caption == (None if position % 7 == 0 else f"caption {position}")
        assert (row.label, row.number) == (position % 5, position + 1)


def test_several_files_with_other_types_of_text_are_one_table(tmp_path: Path) -> None:
    kinds = (pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string()))
    files = []
    for part, kind in enumerate(kinds):
        found = table(10 * part, 10)
        caption = found["caption"]
        is_dictionary = pa.types.is_dictionary(kind)
        caption = caption.dictionary_encode() if is_dictionary else caption.cast(kind)
        files.append(tmp_path / f"{part}.parquet")
        parquet.write_table(found.set_column(1, "caption", caption), files[-1], row_group_size=3)
    rows = Table(files, LABELED).rows(range(40))
    assert [row.caption for row in rows] == table(0, 40)["caption"].to_pylist()


def test_a_csv_and_a_parquet_file_of_many_rows_are_the_same(tmp_path: Path) -> None:
    lines = "".join(f"{i}.png,caption {i},{i % 5}\n" for i in range(70_000))
    (tmp_path / "t.csv").write_text("image,caption,label\n" + lines)
    found = Table(tmp_path / "t.csv", LABELED)
    assert len(found) == 70_000
    (row,) = found.rows([69_999])
    assert (row.caption, row.label) == ("caption 69999", 4)


def test_images_of_a_large_row_group_are_copied_out_beforehand(tmp_path: Path) -> None:
    """pandas writes a table as one row group: it is not read whole for each image."""
    images: list[dict[str, object]] = [{"bytes": png(i), "path": None} for i in range(10)]
    images[3] = {"bytes": None, "path": "beside.png"}
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"image": images}), path, row_group_size=5)
    assert [run.with_images for run in EmbeddedImages([path], "image").runs()] == [False]
    assert [run.with_images for run in EmbeddedImages([path], "image", small=9).runs()] == [True]
    stored, kinds = to_store(path, pa.array(images))
    assert stored.to_pylist()[0] == png(0)
    assert stored.to_pylist()[3] == str(tmp_path / "beside.png").encode()
    assert kinds.tolist() == [ImageKind.STORED] * 3 + [ImageKind.PATH] + [ImageKind.STORED] * 6


def test_a_large_row_group_of_images_is_packed(tmp_path: Path) -> None:
    padded = [png(i) + bytes(700_000) for i in range(100)]  # 70 MB
    rows = pa.table({"image": padded, "caption": [f"picture {i}" for i in range(100)]})
    parquet.write_table(rows, tmp_path / "t.parquet", use_dictionary=False)
    make(tmp_path / "t.parquet", tmp_path / "out", "--caption-column", "caption")
    found = {each["txt"].decode(): each["png"] for each in read_samples(tmp_path / "out")}
    assert found == {f"picture {i}": padded[i] for i in range(100)}
    assert not (tmp_path / "out/.making").exists()


def test_rows_lie_beside_the_shards_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(png(0))
    (tmp_path / "t.csv").write_text("image,caption\n0.png,a\n")
    making = tmp_path / "out/.making"
    found = Table(tmp_path / "t.csv", Columns("image", "caption"), scratch=making)
    assert len(list(making.iterdir())) == 2
    del found
    assert not (tmp_path / "out").exists()
    assert make(tmp_path / "t.csv", tmp_path / "out", "--caption-column", "caption") == 0
    assert ShardIndex.load(tmp_path / "out").samples == 1
    assert not making.exists()


def test_a_refused_table_leaves_no_rows_while_its_error_is_handled(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,caption,label\n0.png,a,1\n1.png,b,cat\n")
    scratch = tmp_path / "scratch"
    with pytest.raises(StudyError, match="labels are numbers in 1 row") as told:
        Table(tmp_path / "t.csv", LABELED, scratch=scratch)
    assert told.tb is not None  # which refers to the table
    assert not scratch.exists()


def test_rows_of_a_process_that_was_killed_are_removed_and_those_in_use_are_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "killed.rows").write_bytes(b"left")
    (tmp_path / "other.json").write_bytes(b"{}")
    first, second = RowFile(tmp_path), RowFile(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert "killed.rows" not in names
    assert {"other.json", Path(first.name).name, Path(second.name).name} < names


def test_a_refused_table_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\n0.png,1\n1.png,cat\n")
    call = ["make", str(tmp_path / "t.csv"), str(tmp_path / "out"), "--label-column", "label"]
    with pytest.raises(StudyError, match="labels are numbers in 1 row"):
        shards.main(call)
    assert not (tmp_path / "out").exists()


def test_rows_without_texts_and_with_all_kinds_of_images_come_back(tmp_path: Path) -> None:
    rows = RowFile(tmp_path)
    images = pa.array([b"bytes", b"a.png", None], pa.large_binary())
    kinds = np.array([ImageKind.STORED, ImageKind.PATH, ImageKind.STORED], np.uint8)
    captions = pa.array(["é", None, ""], pa.large_string())
    rows.append(images, captions, np.array([0, -1, 2], np.int32), kinds, 3)
    rows.append(None, None, None, ImageKind.CELL, 2)
    rows.finish()
    assert [(row.image, row.length, row.caption, row.label) for row in rows.read(range(5))] == [
        (None, 5, "é", 0),
        ("a.png", 5, None, None),
        (None, -1, "", 2),
        (None, -1, None, None),
        (None, -1, None, None),
    ]
