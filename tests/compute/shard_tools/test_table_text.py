"""CSV and TSV tables: the rows that come out are those that went in, or a line is named."""

import csv
import io
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_xfer.compute.shard_tools.table_input import Table, TableForm
from hpc_xfer.compute.shard_tools.tables.table_rows import Columns
from hpc_xfer.errors import DataError, StudyError

CAPTIONED = Columns(caption="caption")


def table(path: Path, text: str | bytes, form: TableForm | None = None) -> Table:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Table(path, CAPTIONED, form=form)


def captions(found: Table) -> list[str | None]:
    return [row.caption for row in found.rows(range(len(found)))]


def refusal(path: Path, text: str | bytes) -> str:
    with pytest.raises((DataError, StudyError)) as refused:
        table(path, text)
    assert str(refused.value).startswith(f"{path}:") and "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{path}:").strip()


def test_a_caption_of_a_tsv_that_begins_with_a_quote_swallows_no_row(tmp_path: Path) -> None:
    said = ['"Hello', "a cat", 'a dog"', '"Stop" sign', '5" pipe', "end"]
    lines = "".join(f"{i}.png\t{each}\n" for i, each in enumerate(said))
    found = table(tmp_path / "t.tsv", f"image\tcaption\n{lines}")
    assert captions(found) == said
    assert found.notes == (
        "2 fields begin with a quotation mark, the first in line 2; the mark is part of the text, "
        "unless you give --quoting csv",
    )


def test_a_tsv_that_pandas_wrote_is_read_with_its_quotes(tmp_path: Path) -> None:
    text = 'image\tcaption\n1.png\t"says ""hi"""\n2.png\t"two\nlines"\n3.png\ta cat\n'
    found = table(tmp_path / "t.tsv", text)
    assert captions(found) == ['says "hi"', "two\nlines", "a cat"]
    assert found.notes[0].startswith(
        "fields in quotation marks are read as pandas writes them, the first in line 2"
    )
    text = '"image"\t"caption"\n"1.png"\t"a cat"\n'  # every field quoted, as R writes
    assert captions(table(tmp_path / "t.tsv", text)) == ["a cat"]


def test_who_knows_how_quotes_are_meant_says_so(tmp_path: Path) -> None:
    text = "image\tcaption\n1\t'a\n2\tb'\n".replace("'", '"')  # no suffix tells what is a path
    assert refusal(tmp_path / "t.tsv", text).startswith(
        "2: lines 2 to 3 are one row if its quotation mark encloses a field, else 2 rows; give "
    )
    path = tmp_path / "t.tsv"
    assert captions(table(path, text, TableForm(quoting="csv"))) == ["a\n2\tb"]
    assert captions(table(path, text, TableForm(quoting="none"))) == ['"a', 'b"']


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('a.png,"a" cat\n', "3: a field goes on after its closing quotation mark; write inner"),
        ('a.png,"a cat\nb.png,b\n', "3: a quotation mark is never closed; close it, or give --qu"),
        ('a.png,"a\nb.png,b"\n', "3: a quotation mark encloses line 4, which looks like a row"),
        ("a.png\n", "3: has 1 field, but the first line names 2 columns; add the missing ones, or"),
        ("a.png,b,c\nb.png,c,d\n", "3: has 3 fields, but the first line names 2 columns (2 lines"),
        ("a.png,caf\xe9\n", "3: is not UTF-8 (byte e9 after 9 others); save the table as UTF-8"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, text: str, why: str) -> None:
    written = f"image,caption\n0.png,fine\n{text}".encode("latin-1")
    assert refusal(tmp_path / "t.csv", written).startswith(why)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty; its first line must name the columns"),
        ("image;caption\n", "has one column 'image;caption'; its fields seem to be separated by "),
        ("image,caption,caption\n", "has 2 columns 'caption'; rename all but one"),
        ("image, caption\n", "has no column 'caption', only 'image', ' caption'; name columns"),
        ("a.png,a cat\n", "has no column 'image', only 'a.png', 'a cat'; its first line seems"),
        ("image,caption\n".encode("utf-16"), "is written in UTF-16; save it as UTF-8"),
    ],
)
def test_a_first_line_that_names_no_columns_is_refused(
    tmp_path: Path, text: str | bytes, why: str
) -> None:
    assert refusal(tmp_path / "t.csv", text).startswith(why)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_of_any_system_are_read(
    tmp_path: Path, end: str, last: bool, mark: str
) -> None:
    text = mark + end.join(["image,caption", "a.png,a", 'b.png,"b, b"', ""])
    found = table(tmp_path / "t.csv", text if last else text.removesuffix(end))
    assert captions(found) == ["a", "b, b"]


def test_another_separator_is_given(tmp_path: Path) -> None:
    text = 'image;caption\na.png;5" pipe\n'
    assert captions(table(tmp_path / "t.csv", text, TableForm(separator=";"))) == ['5" pipe']


def test_rows_of_several_lines_are_counted(tmp_path: Path) -> None:
    found = table(tmp_path / "t.csv", 'image,caption\na.png,"two\nlines"\n')
    assert found.notes == ("1 row has line breaks in quotation marks, the first in lines 2 to 3",)


def test_captions_that_are_words_for_a_missing_value_are_counted(tmp_path: Path) -> None:
    found = table(tmp_path / "t.csv", "image,caption\na.png,nan\nb.png,a nan\nc.png, N/A\n")
    assert captions(found) == [None, "a nan", None]
    assert found.notes == (
        "2 captions are words for a missing value, the first 'nan' in row 1, and count as missing",
    )


def test_a_tsv_of_pandas_is_the_same_input_as_in_earlier_versions(tmp_path: Path) -> None:
    found = table(tmp_path / "t.tsv", 'image\tcaption\n1.png\t"says ""hi"""\n')
    assert found.identity.keys() == {"table", "image", "caption", "label"}
    found = table(tmp_path / "t.tsv", 'image\tcaption\n1.png\t"Hello\n')
    assert found.identity["quoting"] == "none"


@pytest.mark.parametrize(
    ("caption", "why"),
    [
        ("\u200b", "its caption is empty"),
        ("\ufeff ", "its caption is empty"),
        ("a\0b", "null bytes"),
    ],
)
def test_a_caption_that_no_loader_takes_is_broken(tmp_path: Path, caption: str, why: str) -> None:
    found = table(tmp_path / "t.csv", f"image,caption\na.png,{caption}\n")
    with pytest.raises(DataError, match=why):
        found.reader(found.rows([0])[0])


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_refusal_is_short_however_many_columns_there_are(tmp_path: Path, suffix: str) -> None:
    header = ("," if suffix == "csv" else "\t").join(
        f"column {i} of a long name" for i in range(90)
    )
    why = refusal(tmp_path / f"t.{suffix}", f"{header}\n")
    assert "'column 5 of a long name' and 84 more" in why and len(why) < 300


def test_a_cell_that_is_no_path_is_not_printed_as_a_whole(tmp_path: Path) -> None:
    found = table(tmp_path / "t.csv", f"image,caption\n{'A' * 9000},a\n")
    with pytest.raises(
        DataError, match=r"\.\.\.A+: cannot be read \(File name too long\)"
    ) as error:
        found.reader(found.rows([0])[0])
    assert len(str(error.value)) < 300


words = st.text(st.sampled_from(list("ab ,;\"\t\n\r'é猫\u2028\x0b\x1c0")), max_size=8)
rows = st.lists(words, max_size=6)


@settings(max_examples=150)
@given(rows, st.sampled_from(["csv", "tsv"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_csv_writes_comes_back_or_is_refused(
    tmp_path: Path, written: list[str], suffix: str, quoting: Literal[0, 1]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if suffix == "tsv" else ",", quoting=quoting)
    writer.writerows([["image", "caption"], *((f"{i}.png", s) for i, s in enumerate(written))])
    try:
        found = table(tmp_path / f"t.{suffix}", text.getvalue())
    except (DataError, StudyError):
        assert suffix == "tsv" and quoting == csv.QUOTE_MINIMAL  # else it is always right
        assert any('"' in each for each in text.getvalue().splitlines())
        return
    assert captions(found) == written


@settings(max_examples=150)
@given(rows)
def test_what_is_written_without_quotes_comes_back_or_is_refused(
    tmp_path: Path, written: list[str]
) -> None:
    lines = "".join(f"{i}.png\t{each}\n" for i, each in enumerate(written))
    breaks = any(set(each) & set("\t\n\r") for each in written)
    try:
        found = table(tmp_path / "t.tsv", f"image\tcaption\n{lines}")
    except (DataError, StudyError):
        assert breaks
        return
    assert captions(found) == written or breaks or any("quot" in note for note in found.notes)
    assert len(found) == len(written) or breaks
