"""Turn the records of a study into CSVs; the same records give the same bytes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.results import averages, csv_files
from hpc_xfer.results.averages import Average
from hpc_xfer.results.cells import Cell, outcome, planned_cells
from hpc_xfer.results.cells_table import cells_table
from hpc_xfer.results.encoder_info import Encoders, encoders_of
from hpc_xfer.results.missing_runs import DIVERGED, missing, usable_records
from hpc_xfer.results.missing_table import missing_table
from hpc_xfer.results.runs_table import runs_table
from hpc_xfer.results.scores import Score
from hpc_xfer.results.selection import Choice, choose_all
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan

TABLES = ("runs", "cells", "averages", "missing")


@dataclass(frozen=True)
class Collected:
    """Counts of runs and cells, the averages, and the files that were written."""

    planned: int  # runs
    finished: int
    failed: int
    blocked: int  # their parent has no result
    not_run: int
    cells: int
    cells_complete: int
    averages: tuple[Average, ...]
    files: Mapping[str, Path]  # by name, see TABLES

    @property
    def summary(self) -> dict[str, object]:
        """For --json."""
        runs = {name: getattr(self, name) for name in COUNTS}
        return {
            "schema": 1,
            "runs": runs,
            "cells": {"planned": self.cells, "complete": self.cells_complete},
            "files": {name: str(path) for name, path in self.files.items()},
        }


COUNTS = ("planned", "finished", "failed", "blocked", "not_run")


def collect(plan: Plan, store: Store, out: Path) -> Collected:
    """Read every record of the plan and write the CSVs to `out`.

    Raises:
        StoreError: `out` cannot be written.
    """
    records = usable_records(plan, store)
    absent = missing(plan, store, records)
    diverged = {run.run.id for run in absent if (run.state, run.error) == ("failed", DIVERGED)}
    encoders, cells = encoders_of(plan), planned_cells(plan)
    outcomes = [outcome(cell, plan.tuned, records, diverged) for cell in cells]
    choices = choose_all(outcomes, plan.choose)
    chosen = [choice for choice in choices if choice is not None]
    without = [c for c, choice in zip(outcomes, choices, strict=True) if c and choice is None]
    means = averages.averages(
        [_score(cell, choice, encoders) for cell, choice in zip(cells, choices, strict=True)]
    )
    files = {name: out / f"{name}.csv" for name in TABLES}
    csv_files.write(
        files["runs"], *runs_table(plan, encoders, records, {c.run.id: c for c in chosen})
    )
    csv_files.write(files["cells"], *cells_table(chosen, plan.tuned, encoders))
    csv_files.write(files["averages"], *averages.table(means))
    csv_files.write(
        files["missing"], *missing_table(plan, encoders, absent, cells, diverged, without)
    )
    states = Counter(run.state for run in absent)
    return Collected(
        planned=len(plan.runs),
        finished=len(records),
        failed=states["failed"],
        blocked=states["blocked"],
        not_run=states["not run"],
        cells=len(cells),
        cells_complete=len(chosen),
        averages=tuple(means),
        files=files,
    )


def _score(cell: Cell, choice: Choice | None, encoders: Encoders) -> Score:
    recipe = cell.recipe
    return Score(
        encoder=encoders[cell.encoder],
        pretrain_seed=csv_files.cell(cell.seed),
        dataset=recipe.dataset,
        shots=str(recipe.shots),
        draw=str(recipe.draw),
        mode=cell.label,
        test_top1=None if choice is None else choice.test_top1,
        labels=None if choice is None else choice.measured.record["metrics"].get("labels"),
    )
