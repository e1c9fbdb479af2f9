"""`shards index --columns`: values of the json, or of tables beside the shards."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer import shards
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.training_data import columns
from hpc_xfer.config.training_data.columns import text_hash
from hpc_xfer.errors import DataError, StudyError
from tests.compute.shard_tools.making import with_json
from tests.tars import write_tar


def index(folder: Path, *options: str) -> list[float]:
    """Index with these options; the values of the first column."""
    assert shards.main(["index", str(folder), "--workers", "1", *options]) == 0
    made = columns.load(ShardIndex.load(folder))
    values: list[float] = made.values(next(iter(made.by_name))).tolist()
    return values


def write(folder: Path, *values: object) -> Path:
    """One shard per sample, with these under `x` of the json."""
    for i, value in enumerate(values):
        [image, (_, content)] = with_json({} if value is None else {"x": value, "t": "a"})
        write_tar(folder / f"{i}.tar", [(f"{i:05d}.jpg", image[1]), (f"{i:05d}.json", content)])
    return folder


def test_numbers_are_kept_as_numbers(tmp_path: Path) -> None:
    found = index(write(tmp_path, 0.25, 3, None, True, [1], float("nan")), "--columns", "x")
    assert np.array_equal(found, [0.25, 3, np.nan, 1, np.nan, np.nan], equal_nan=True)


def test_texts_and_numbers_beside_texts_are_kept_as_hashes(tmp_path: Path) -> None:
    found = index(write(tmp_path, "f0a1", 12, None, 0.5), "--columns", "x")
    assert found == [text_hash("f0a1"), text_hash("12"), 0, text_hash("0.5")]


def test_whole_numbers_that_a_float_cannot_hold_stay_different(tmp_path: Path) -> None:
    found = index(write(tmp_path, 2**60, 2**60 + 1, 2**60), "--columns", "x")
    assert found[0] == found[2] != found[1]


def test_keys_and_classes_are_those_of_the_samples(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "0.tar", [("7.jpg", b""), ("7.cls", b"1"), ("8.jpg", b""), ("8.cls", b"-")]
    )
    assert index(tmp_path, "--columns", "class,key") == [1, -1]
    key = columns.load(ShardIndex.load(tmp_path)).values("key").tolist()
    assert key == [text_hash("7"), text_hash("8")]


def test_labels_of_the_json_are_class_numbers_too(tmp_path: Path) -> None:
    folder = write(tmp_path, "dog", "cat", "dog")
    assert index(folder, "--label-key", "x", "--columns", "class") == [1, 0, 1]


def test_columns_come_from_a_table_by_the_keys_of_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table = write(tmp_path / "a", 1, 2, 3), tmp_path / "scores.csv"
    table.write_text("key,score\n00002,0.5\n00000,0.25\n00009,1\n")
    found = index(folder, "--columns", "score,x", "--table", str(table))
    assert np.array_equal(found, [0.25, np.nan, 0.5], equal_nan=True)
    assert columns.load(ShardIndex.load(folder)).values("x").tolist() == [1, 2, 3]
    assert capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()[-3:] == [
        "warning: 1 of 3 samples have no row in scores.csv",
        "warning: 1 of 3 rows of scores.csv are of no sample",
        "warning: column 'score': 1 of 3 samples have no value",
    ]


def test_a_table_may_name_samples_by_a_key_of_their_json(tmp_path: Path) -> None:
    folder, table = write(tmp_path / "a", "u7", "u8"), tmp_path / "scores.csv"
    table.write_text("uid,x\nu8,0.5\nu7,0.25\n".replace("uid", "t").replace("u", "a"))
    options = ("--columns", "x", "--table", str(table), "--table-key", "t")
    with pytest.raises(DataError, match=r"\.\w+: 1 samples have the same t as another one"):
        index(folder, *options)
    table.write_text("x,score\nu8,0.5\nu7,0.25\n")
    assert index(folder, "--columns", "score", *options[2:4], "--table-key", "x") == [0.25, 0.5]


def test_a_column_that_no_sample_has_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, 1, 2)
    with pytest.raises(DataError, match="has a value under 'y'; name keys of the json: t"):
        index(folder, "--columns", "y")
    with pytest.raises(DataError, match="no sample has a class; say where labels are"):
        index(folder, "--columns", "class")
    assert not (folder / columns.NAME).exists()


def test_columns_stay_where_the_same_shards_are_indexed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, 1, 2)
    index(folder, "--columns", "x")
    assert index(folder) == [1, 2]
    write(tmp_path, 1, 2, 3)
    assert shards.main(["index", str(folder), "--workers", "1"]) == 0
    assert "columns.json: belongs to other shards than" in capsys.readouterr().out
    assert index(folder, "--columns", "x") == [1, 2, 3]
    assert len([*(folder / columns.FOLDER).iterdir()]) == 1


def test_a_table_without_columns_and_odd_names_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", 1)
    with pytest.raises(StudyError, match="--table needs --columns"):
        index(folder, "--table", "scores.csv")
    with pytest.raises(SystemExit):
        index(folder, "--columns", "a,,b")


def test_columns_of_a_table_alone_are_added_without_reading_the_shards_again(
    tmp_path: Path,
) -> None:
    folder, table = write(tmp_path / "a", 1, 2), tmp_path / "scores.csv"
    table.write_text("key,score\n00001,0.5\n00000,0.25\n")
    index(folder, "--columns", "x")
    before = (folder / "index.json").stat().st_mtime_ns
    assert index(folder, "--columns", "score,key", "--table", str(table)) == [0.25, 0.5]
    assert (folder / "index.json").stat().st_mtime_ns == before


def test_the_command_that_adds_a_column_keeps_those_of_the_table(tmp_path: Path) -> None:
    folder, table = write(tmp_path / "a", 1, 2), tmp_path / "my scores.csv"
    table.write_text("x,score,phash\n2,0.5,b\n1,0.25,a\n")
    index(folder, "--columns", "score", "--table", str(table), "--table-key", "x")
    told = columns.load(ShardIndex.load(folder)).without(["phash", "t"])
    command = shlex.split(told.split("`")[1])
    assert shards.main([*command[3:], "--workers", "1"]) == 0
    made = columns.load(ShardIndex.load(folder))
    assert made.values("score").tolist() == [0.25, 0.5]
    assert made.values("phash").tolist() == [text_hash("a"), text_hash("b")]
    assert made.values("t").tolist() == [text_hash("a")] * 2


def test_a_column_that_neither_the_table_nor_the_json_has_is_told_with_both(tmp_path: Path) -> None:
    folder, table = write(tmp_path / "a", 1), tmp_path / "scores.csv"
    table.write_text("key,score\n00000,0.5\n")
    with pytest.raises(DataError, match=r"name keys of the json: t, x; or columns .*: score$"):
        index(folder, "--columns", "scores", "--table", str(table))
