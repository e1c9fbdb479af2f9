"""Labels of tables: a column means the same in a CSV and in Parquet."""

import csv
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hpc_xfer.compute.shard_tools.table_input import Table, TableForm
from hpc_xfer.compute.shard_tools.tables.table_rows import Columns
from hpc_xfer.errors import DataError, StudyError

Read = tuple[list[int | None], tuple[str, ...] | None, list[str | None]]


def written(path: Path, labels: Sequence[Any] | pa.Array) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(
                [["image", "label"], *((f"{i}.png", each) for i, each in enumerate(labels))]
            )
    else:
        images = [f"{i}.png" for i in range(len(labels))]
        parquet.write_table(pa.table({"image": images, "label": pa.array(labels)}), path)
    return path


def read(path: Path, labels: Any, form: TableForm | None = None) -> Read:
    found = Table(written(path, labels), Columns(label="label"), form=form)
    rows = found.rows(range(len(found)))
    return [row.label for row in rows], found.classes, [row.caption for row in rows]


def both(tmp_path: Path, labels: list[str]) -> Read | str:
    """What a column of text is in both forms, or why both refuse it."""
    found: list[Read | str] = []
    for name in ("t.csv", "t.parquet"):
        try:
            found.append(read(tmp_path / name, labels))
        except (DataError, StudyError) as error:
            found.append(str(error).removeprefix(f"{tmp_path / name}: "))
    assert found[0] == found[1]
    return found[0]


def test_one_label_below_zero_does_not_turn_numbers_into_names(tmp_path: Path) -> None:
    assert both(tmp_path, ["0", "1", "-1", "2"]) == (
        "the label '-1' in row 3 is below 0; write 0, 1, 2, ..., or leave it empty"
    )


def test_numbers_may_be_written_as_pandas_writes_a_column_with_gaps(tmp_path: Path) -> None:
    expected = ([0, 1, None, 1], ("0", "1"), [None] * 4)
    assert both(tmp_path, ["0.0", "1.0", "", " 1"]) == expected
    assert both(tmp_path, ["0", "1.0", "nan", "1.0e+00"]) == expected
    floats = pa.array([0.0, 1.0, float("nan"), 1.0])
    for labels in (
        floats,
        pa.array([0, 1, None, 1], pa.uint8()),
        pa.array([Decimal("0.0"), Decimal("1.0"), None, Decimal("1.0")]),
        pa.array(["0", "1", None, "1"], pa.large_string()),
        pa.array(["0", "1", "NULL", "1"]).dictionary_encode(),
        pa.array([b"0", b"1", None, b"1"]),
    ):
        assert read(tmp_path / "t.parquet", labels) == expected


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (["0", "1.5"], "the label '1.5' in row 2 is not a whole number; write 0"),
        (
            ["3", "cat", "4"],
            "labels are numbers in 2 rows, first '3' in row 1, and names in 1 row, first ",
        ),
        (["007", "8"], "the label '007' in row 1 can be a number or a name; give --labels"),
        (["1e5", "8"], "the label '1e5' in row 1 can be a number or a name; give --labels"),
        (["0", "99999999999999999999"], "the label '99999999999999999999' in row 2 is too high"),
    ],
)
def test_labels_that_can_be_meant_in_two_ways_are_refused_in_both_forms(
    tmp_path: Path, labels: list[str], why: str
) -> None:
    found = both(tmp_path, labels)
    assert isinstance(found, str) and found.startswith(why)


def test_who_knows_says_what_labels_are(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    assert read(path, ["007", "8"], TableForm(labels="numbers"))[0] == [7, 8]
    labels, classes, captions = read(path, ["007", "8", "None"], TableForm(labels="names"))
    assert (labels, classes) == ([0, 1, 2], ("007", "8", "None"))
    assert captions == ["007", "8", "None"]
    assert read(path, ["007", "8"], TableForm(labels="names"))[2] == [None, None]


def test_truth_values_are_names_in_both_forms(tmp_path: Path) -> None:
    expected = ([1, 0, None], ("False", "True"), ["True", "False", None])
    assert read(tmp_path / "t.csv", ["True", "False", ""]) == expected
    assert read(tmp_path / "t.parquet", pa.array([True, False, None])) == expected


def test_odd_labels_are_told(tmp_path: Path) -> None:
    def notes(labels: list[str]) -> tuple[str, ...]:
        return Table(written(tmp_path / "t.csv", labels), Columns(label="label")).notes

    assert notes(["1", "2"]) == ("no row has class 0 ('0'): classes seem to be numbered from 1",)
    assert notes(["0", "3"]) == ("2 of 4 classes have no row, the first '1'",)
    assert notes(["cat", "Cat"]) == ("classes 'Cat' and 'cat' differ in capital letters only",)
    assert notes(["cat", "None"]) == (
        "1 label is a word for a missing value, the first 'None' in row 2, and counts as missing; "
        "--labels names keeps them as names",
    )
    assert notes(["cat ", "cat", "dog"]) == (
        "1 name has spaces around, the first 'cat ' in row 1: left out",
    )


def test_names_that_hugging_face_notes_for_class_numbers_are_used(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    columns = pa.table({"image": ["0.png", "1.png"], "label": pa.array([1, 0])})
    noted = columns.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(noted, tmp_path / "t.parquet")
    found = Table(tmp_path / "t.parquet", Columns(label="label"))
    assert found.classes == ("cat", "dog")
    assert [row.caption for row in found.rows([0, 1])] == ["dog", "cat"]


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(["0", "1", "2.0", " 1", "-1", "1.5", "cat", "Dog ", "nan", "", "01", "1e1"])
        | st.text(st.sampled_from(list('a"0, .-é')), max_size=4),
        min_size=1,
        max_size=6,
    )
)
def test_the_same_text_is_the_same_label_in_csv_and_parquet(
    tmp_path: Path, labels: list[str]
) -> None:
    found = both(tmp_path, labels)
    if isinstance(found, str):
        return
    numbers, classes, captions = found
    for text, number, caption in zip(labels, numbers, captions, strict=True):
        if number is None:
            assert text.strip() in ("", "nan")
        else:
            assert classes is not None
            assert classes[number] == text.strip() or float(text) == number
            assert caption in (None, text.strip())
