"""Tables from anybody: each ends in one sentence, soon, whatever a file says about itself."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hpc_xfer.compute.shard_tools import class_names, img2dataset
from hpc_xfer.compute.shard_tools.table_input import Table
from hpc_xfer.compute.shard_tools.tables import memory_limit
from hpc_xfer.compute.shard_tools.tables.table_rows import Columns
from hpc_xfer.errors import DataError, XferError

CAPTIONED = Columns("image", "caption")
LABELED = Columns("image", "caption", "label")


def refusal(path: Path, columns: Columns = CAPTIONED) -> str:
    with pytest.raises(XferError) as refused:
        Table(path, columns)
    told = str(refused.value)
    assert len(told) < 300 + len(str(path)), told
    assert told.isprintable(), told
    return told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("image,caption\na.png," + "x" * 20_000_000, "has more than 16,777,216 characters"),
        ("image,caption\na.png," + "x" * 200_000, "a field has more than 131,072 characters"),
        ('image,caption\na.png,"never closed\n' + "b.png,b\n" * 50_000, "more than 131,072"),
        ('image,caption\na.png,"never closed\n', "a quotation mark is never closed"),
        ("x" * 200_000, "a field has more than 131,072 characters"),
        ("image" + ",a" * 200_000 + "\n", "has 200,001 columns, more than 100,000"),
        ("image,caption\na.png" + ",a" * 2_000_000 + "\n", "has 2000001 fields, but the first"),
        ("image,caption\na.png," + '"\n",' * 200_000, "has more than 16,777,216 characters"),
    ],
    ids=["line", "field", "open", "cut", "head", "columns", "wide row", "lines of a row"],
)
def test_a_table_of_text_is_read_in_rows_of_bounded_size(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert why in refusal(tmp_path / "t.csv")
    if "marks" not in why and '"' not in text:  # which is text in a TSV
        (tmp_path / "t.tsv").write_text(text.replace(",", "\t"))
        assert why in refusal(tmp_path / "t.tsv")


def test_null_bytes_spoil_only_their_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"image,caption\na\0.png,a\nb.png,b\0\nc.png,c\n")
    found = Table(path, CAPTIONED)
    assert [row.caption for row in found.rows(range(3))] == ["a", "b\0", "c"]
    with pytest.raises(DataError, match="cannot be read"):
        found.reader(found.rows([0])[0])


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
def test_nobody_waits_for_a_pipe(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "is not a regular file; name a file" in refusal(tmp_path / name)


def test_nobody_waits_for_an_image_that_is_a_pipe_or_has_no_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "t.csv").write_text("image,caption\npipe.png,a\n/dev/zero,b\n")
    found = Table(tmp_path / "t.csv", CAPTIONED)
    for row in found.rows([0, 1]):
        with pytest.raises(DataError, match="is not a regular file"):
            found.reader(row)


def dictionary_bomb() -> pa.Table:
    """60 GB of captions in 2 kB: one caption, 65,536 times."""
    rows = pa.array([0] * 65_536, pa.int32())
    caption = pa.DictionaryArray.from_arrays(rows, pa.array(["x" * 900_000]))
    return pa.table({"image": ["a.png"] * len(rows), "caption": caption})


def long_cell() -> pa.Table:
    return pa.table({"image": ["a.png", "b.png"], "caption": ["a", "x" * 5_000_000]})


def long_path() -> pa.Table:
    return pa.table({"image": ["x" * 5_000_000], "caption": ["a"]})


def lists_in_lists() -> pa.Table:
    kind = pa.string()
    for _ in range(20):
        kind = pa.list_(kind)
    return pa.table({"image": ["a"], "caption": pa.array([None], kind)})


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (dictionary_bomb, "takes more than 2 GB of memory to read"),
        (long_cell, "row 2: its caption is a text of 5,000,000 bytes, more than 1,048,576"),
        (long_path, "row 1: its image is a text of 5,000,000 bytes, more than 1,048,576"),
        (lists_in_lists, "not captions; name a column of text"),
    ],
)
def test_a_parquet_file_takes_bounded_memory(
    tmp_path: Path, make: Callable[[], pa.Table], why: str
) -> None:
    parquet.write_table(make(), tmp_path / "t.parquet", compression="zstd")
    assert why in refusal(tmp_path / "t.parquet")


def test_memory_that_a_file_asks_for_is_refused_and_the_limit_ends_with_it() -> None:
    with (
        pytest.raises(DataError, match=r"t\.parquet: takes more than 1 GB of memory to read"),
        memory_limit.at_most("t.parquet", 1 << 30),
    ):
        pa.allocate_buffer(3 << 30)
    assert len(bytearray(8 << 20)) == 8 << 20


@pytest.mark.parametrize("rows", [2**60, -(2**60), 2**40])
def test_rows_that_do_not_fit_into_the_file_are_not_believed(tmp_path: Path, rows: int) -> None:
    (tmp_path / "t.parquet").write_bytes(claiming(rows))
    assert "correct the file" in refusal(tmp_path / "t.parquet", Columns("image"))


def test_a_footer_of_many_megabytes_is_not_read(tmp_path: Path) -> None:
    size = 100 << 20
    with open(tmp_path / "t.parquet", "wb") as file:
        file.write(b"PAR1")
        file.truncate(size)
        file.seek(size)
        file.write((size - 12).to_bytes(4, "little") + b"PAR1")
    assert "has a footer of 99 MB, more than 32" in refusal(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "notes",
    [
        b"[" * 1_000_000,
        b'{"info": {"features": {"label": {"names": [' + b"9" * 5000 + b"]}}}}",
        b'{"info": {"features": {"label": {"names": [["a"]]}}}}',
        b'{"info": []}',
        b"\xff",
    ],
    ids=["deep", "number", "types", "list", "bytes"],
)
def test_odd_notes_about_features_are_no_names(tmp_path: Path, notes: bytes) -> None:
    table = pa.table({"image": ["a"], "caption": ["b"], "label": [0]})
    noted = table.replace_schema_metadata({b"huggingface": notes, b"pandas": notes})
    parquet.write_table(noted, tmp_path / "t.parquet")
    assert Table(tmp_path / "t.parquet", LABELED).classes == ("0",)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a"] * 1_500_000, "notes 1,500,000 class names for 'label'; remove them"),
        (["a" * 17_000_000], "has a footer of 37 MB, more than 32"),
    ],
)
def test_millions_of_noted_classes_are_refused(tmp_path: Path, names: list[str], why: str) -> None:
    notes = {"info": {"features": {"label": {"names": names}}}}
    table = pa.table({"image": ["a"], "caption": ["b"], "label": [0]})
    parquet.write_table(
        table.replace_schema_metadata({b"huggingface": json.dumps(notes).encode()}),
        tmp_path / "t.parquet",
    )
    assert why in refusal(tmp_path / "t.parquet", LABELED)


def test_a_label_of_each_row_is_no_class(tmp_path: Path) -> None:
    rows = 1_000_001
    table = pa.table({"image": pa.repeat("a", rows), "label": pa.array(range(rows))})
    parquet.write_table(table, tmp_path / "t.parquet")
    told = refusal(tmp_path / "t.parquet", Columns("image", None, "label"))
    assert "holds more than 1,000,000 different labels, so they are ids or captions" in told


@pytest.mark.parametrize(
    "content",
    [b"[" * 1_000_000, b"9" * 5000, b'{"a": 1}', b"[1]", b"\xff\xfe", b"null", b'["a"',
     json.dumps(["x" * 5000]).encode()],
)  # fmt: skip
def test_an_odd_file_of_class_names_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "classes.json").write_bytes(content)
    with pytest.raises(DataError, match=r"classes\.json: (is not a JSON list of names|holds)"):
        class_names.listed(tmp_path)


def test_a_file_of_class_names_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "classes.json")
    with pytest.raises(DataError, match="is not a JSON list of names"):
        class_names.listed(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b'{"successes": ' + b"9" * 5000 + b"}", b'{"successes": true}', b'{"successes": -1}', b"[]",
     b'{"successes": 1e400}', b"[" * 1_000_000],
)  # fmt: skip
def test_odd_stats_of_img2dataset_say_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0_stats.json").write_bytes(content)
    assert img2dataset.sample_count_problem(tmp_path / "0.tar", 1) is None


def test_a_table_of_img2dataset_that_is_a_bomb_says_nothing(tmp_path: Path) -> None:
    bomb = dictionary_bomb().rename_columns(["url", "status"])
    parquet.write_table(bomb, tmp_path / "0.parquet", compression="zstd")
    assert img2dataset.sample_count_problem(tmp_path / "0.tar", 1) is None


def valid_file() -> bytes:
    rows = range(40)
    table = pa.table({
        "image": pa.array([{"bytes": b"%d" % i, "path": "x"} for i in rows]),
        "caption": pa.array([[f"a {i % 4}", "b"] for i in rows]),
        "label": pa.array([f"c{i % 3}" for i in rows]).dictionary_encode(),
    })  # fmt: skip
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, row_group_size=25)
    return buffer.getvalue()


VALID = valid_file()
PLACES = st.integers(0, len(VALID) - 1) | st.integers(len(VALID) - 1500, len(VALID) - 1)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(changes=st.lists(st.tuples(PLACES, st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_parquet_file_ends_in_nothing_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(VALID)
    for place, value in changes:
        data[place] = value
    path = tmp_path_factory.mktemp("fuzz") / "t.parquet"
    path.write_bytes(data)
    try:
        found = Table(path, LABELED)
        for row in found.rows(range(min(50, len(found)))):
            found.reader(row)
    except XferError:
        pass


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    text=st.text(st.sampled_from('ab,\t"\n\r\0;\ufeff\u2028 0.'), max_size=40)
    | st.binary(max_size=40),
    head=st.booleans(),
    suffix=st.sampled_from([".csv", ".tsv"]),
)
def test_any_text_as_a_table_ends_in_nothing_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, text: str | bytes, head: bool, suffix: str
) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    path = tmp_path_factory.mktemp("fuzz") / f"t{suffix}"
    separator = b"," if suffix == ".csv" else b"\t"
    path.write_bytes(separator.join([b"image", b"caption", b"label"]) * head + b"\n" * head + data)
    try:
        found = Table(path, LABELED)
        for row in found.rows(range(len(found))):
            found.reader(row)
    except XferError:
        pass


def claiming(rows: int) -> bytes:
    """Write a Parquet file of no columns' data whose footer claims so many rows."""
    root = field(8, text(b"root"), 4) + field(5, number(1), 1) + b"\0"
    image = field(5, number(6), 1) + field(5, number(1), 2) + field(8, text(b"image"), 1) + b"\0"
    group = field(9, b"\x0c", 1) + field(6, number(0), 1) + field(6, number(rows), 1) + b"\0"
    footer = (
        field(5, number(1), 1)
        + field(9, b"\x2c" + root + image, 1)
        + field(6, number(rows), 1)
        + field(9, b"\x1c" + group, 1)
        + b"\0"
    )
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def field(kind: int, value: bytes, step: int) -> bytes:
    """Write a field of Thrift's compact form, `step` numbers after the field before."""
    return bytes([step << 4 | kind]) + value


def number(value: int) -> bytes:
    """Write a number as Thrift does: zigzag, 7 bits a byte."""
    left, found = (value << 1) ^ (value >> 63), bytearray()
    while left > 127:
        found.append(left & 127 | 128)
        left >>= 7
    return bytes([*found, left])


def text(value: bytes) -> bytes:
    return bytes([len(value)]) + value
