from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

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
