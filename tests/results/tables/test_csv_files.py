from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc_xfer.errors import StoreError
from hpc_xfer.results.tables import csv_files


@dataclass(frozen=True)
class Measurement:
    """Numbers and text in any order."""

    name: str
    count: int
    share: float | None
    seen: int | None
    over: Literal["draws", "seeds"]
    remark: str


ROW = {
    "remark": "a, b\nc", "name": "1", "count": "3", "share": "0.25", "seen": "", "over": "seeds",
}  # fmt: skip


def test_a_column_is_read_as_the_type_of_the_field_of_its_name() -> None:
    found = csv_files.typed(Measurement, ROW)
    assert found == Measurement("1", 3, 0.25, None, "seeds", "a, b\nc")


def test_a_written_row_is_read_back(tmp_path: Path) -> None:
    csv_files.write(tmp_path / "a.csv", list(ROW), [ROW])
    assert csv_files.read(tmp_path / "a.csv") == [ROW]


def test_a_field_that_is_no_column_is_given() -> None:
    found = csv_files.typed(Measurement, {**ROW, "name": "2"}, name="given")
    assert found.name == "given"


def test_a_table_of_an_older_version_that_lacks_a_column_is_to_be_collected_again() -> None:
    row = {name: text for name, text in ROW.items() if name != "remark"}
    with pytest.raises(StoreError, match=r"no column remark; run `python -m hpc_xfer\.collect`"):
        csv_files.typed(Measurement, row)


LETTERS = st.one_of(st.sampled_from("=+-@;,\t\r\n'\" 15\u2028"), st.characters(codec="utf-8"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(LETTERS), st.text(LETTERS)), min_size=1))
def test_any_text_is_read_back_as_it_was(tmp_path: Path, cells: list[tuple[str, str]]) -> None:
    rows = [{"a": a, "=b": b} for a, b in cells]
    csv_files.write(tmp_path / "table.csv", ["a", "=b"], rows)
    assert csv_files.read(tmp_path / "table.csv") == rows
    lines = csv_files.Lines.of(["a", "=b"], rows)
    assert lines.rows == lines.laid_out(["=b", "a"]).rows == rows


def test_a_text_that_no_file_can_hold_is_written_as_an_escape(tmp_path: Path) -> None:
    csv_files.write(tmp_path / "table.csv", ["a"], [{"a": "x\udc80"}])
    assert csv_files.read(tmp_path / "table.csv") == [{"a": "x\\udc80"}]


@pytest.mark.parametrize("content", [b"a,b\n1\n", b"a\n\xff\n", b'a\n"' + b"x" * 200_000 + b'"\n'])
def test_a_damaged_table_is_told_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"runs\.csv: is not a table of this program"):
        csv_files.read(path)
