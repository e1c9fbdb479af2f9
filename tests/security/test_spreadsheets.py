"""No cell of a CSV that is written runs as a formula, whatever others wrote into a store."""

import csv
import json
import re
from pathlib import Path

import pytest

from hpc_xfer import collect, report
from hpc_xfer.results.tables import csv_files
from hpc_xfer.system import atomic_files
from tests.fabricated import GRID, failure, make, record_all

FORMULAS = (
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|x",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "x;=1",
)


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_table_holds_a_cell_that_begins_a_formula(tmp_path: Path, formula: str) -> None:
    grid = GRID.replace("[8000, 16000]", "8000").replace("[digits, mnist]", "[digits]")
    _, plan, store = make(tmp_path, grid)
    record_all(store, plan.runs[:-1])
    for run in plan.runs[:-1]:
        content = json.loads(store.run(run.id).record.read_text())
        content["provenance"] |= {"host": formula, "gpu": formula}
        content["metrics"][formula] = 1
        atomic_files.write_json(store.run(run.id).record, content)
    failure(store, plan.runs[-1], formula)
    study = store.study("tiny")
    assert collect.main([str(tmp_path / "grid.yaml"), "--store", str(store.root)]) == 1
    report.main([str(tmp_path / "grid.yaml"), "--store", str(store.root)])
    tables = [*study.summary.glob("*.csv"), *study.figures.glob("*.csv")]
    assert len(tables) > 9
    for path in tables:
        with open(path, newline="", encoding="utf-8") as file:
            cells = {cell for line in csv.reader(file) for cell in line}
        begins = [cell for cell in cells if re.match("[=@\t\r]|[+-](?![\\d.e+-]+$)", cell)]
        assert begins == [], path
    rows = csv_files.read(study.summary / "runs.csv")
    assert {row["gpu"] for row in rows} == {formula}
