"""Read the records of a part, and make of them all that tables need."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hpc_xfer.results.analysis import Analysis, analyse
from hpc_xfer.results.cells import Cell
from hpc_xfer.results.parts.missing_runs import MissingRun, ParentState, missing_run
from hpc_xfer.results.parts.names import Names
from hpc_xfer.results.parts.part import Facts, Part, values_of
from hpc_xfer.results.parts.record_files import Record, RecordFile, copies, read_record
from hpc_xfer.results.parts.test_sets import TestKey, tested_on
from hpc_xfer.results.tables.cells_table import (
    LATER_COLUMNS,
    cell_rows,
    cells_columns,
    further_tests,
    grids_of,
    varying_settings,
)
from hpc_xfer.results.tables.csv_files import Lines
from hpc_xfer.results.tables.missing_table import missing_columns, missing_rows
from hpc_xfer.results.tables.runs_table import measured_in, run_rows, runs_columns
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run

_Rows = Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class PartReader:
    """Reads parts of one plan from one store."""

    names: Names
    store: Store
    _metrics: set[str] = field(default_factory=set)  # of parts so far: most have the same ones
    _columns: dict[int, list[str]] = field(default_factory=dict)  # of runs, by number of metrics

    @cached_property
    def _runs(self) -> str:
        return os.fspath(self.store.runs)

    def read(
        self,
        runs: Sequence[Run],
        parents: Mapping[str, ParentState],
        versions: Mapping[TestKey, str],
    ) -> Part:
        """Read a part.

        Args:
            runs: those of one encoder, data set and shot count; or one pre-training.
            parents: states of the pre-trainings, by id.
            versions: names of the data set's versions, where it has several.
        """
        files = [(run, read_record(run, f"{self._runs}/{run.id}")) for run in runs]
        records = {run.id: file.record for run, file in files if file.record is not None}
        absent = [
            missing_run(run, file, self.store, parents)
            for run, file in files
            if file.record is None
        ]
        trials = [run for run in runs if run.kind == "finetune"]
        diverged = {each.run.id for each in absent if each.diverged}
        found = analyse(trials, self.names, records, diverged, versions)
        tests = {tested_on(records[run.id]) for run in trials if run.id in records}
        tables, facts = self._tables(runs, records, absent, found)
        return Part(
            states={"finished": len(records), **Counter(each.state for each in absent)},
            tables=tables,
            facts=facts,
            scores=[values_of(score) for score in found.scores],
            hits=[
                None if choice is None else (choice.run.id, choice.measured.place)
                for choice in found.choices
            ],
            varying={cell.label: cell.varying for cell in found.cells},
            tests=sorted(tests, key=str),
            versions=list(versions.items()),
            hours=_hours_of_modes(found.cells, records) if trials else _hours_of(records),
            on_gpu=any(record.get("provenance", {}).get("gpu") for record in records.values()),
            set_aside=self._set_aside(files),
        )

    def _tables(
        self,
        runs: Sequence[Run],
        records: Mapping[str, Record],
        absent: Sequence[MissingRun],
        found: Analysis,
    ) -> tuple[dict[str, Lines], Facts]:
        names = self.names
        chosen = {choice.run.id: choice for choice in found.chosen}
        cells = cell_rows(found.chosen, names)
        missing = missing_rows(absent, found, names)
        facts = Facts(
            metrics=sorted(measured_in(records.values())),
            varying=varying_settings(found.chosen),
            further=further_tests(choice.measured.record for choice in found.chosen),
            filled=_filled(cells),
            grids=grids_of(cells, names.tuned),
        )
        of_cells = cells_columns(names.tuned, facts.varying, facts.further)
        of_missing = missing_columns(names.tuned)
        tables = {
            "runs": Lines.of(self._runs_columns(facts), run_rows(runs, names, records, chosen)),
            "cells": Lines.of(of_cells, cells),
            **{kind: Lines.of(of_missing, rows) for kind, rows in missing.items()},
        }
        return tables, facts

    def _runs_columns(self, facts: Facts) -> list[str]:
        """The columns of all parts so far."""
        self._metrics.update(facts.metrics)
        known = len(self._metrics)
        if known not in self._columns:
            self._columns[known] = runs_columns(self.names, self._metrics)
        return self._columns[known]

    def _set_aside(self, files: Sequence[tuple[Run, RecordFile]]) -> list[tuple[str, str]]:
        """List files in the folders of runs that are not used, by their place in the store."""
        found = []
        for run, file in files:
            if file.why:
                found.append((f"runs/{run.id}/record.json", file.why))
            for name in copies(f"{self._runs}/{run.id}"):
                found.append((f"runs/{run.id}/{name}", "is a copy beside record.json"))
        return found


def _filled(rows: _Rows) -> list[str]:
    """List the optional columns that have a value in some row."""
    return sorted(
        name for name in LATER_COLUMNS if any(row.get(name) not in ("", None) for row in rows)
    )


def _hours_of_modes(
    cells: Sequence[Cell], records: Mapping[str, Record]
) -> list[tuple[str, str, float]]:
    hours: dict[tuple[str, str], float] = {}
    for cell in cells:
        key = (cell.label, cell.dataset)
        own = sum(_hours(records[run.id]) for run in cell.trials if run.id in records)
        hours[key] = hours.get(key, 0.0) + own
    return [(*key, total) for key, total in hours.items()]


def _hours_of(records: Mapping[str, Record]) -> list[tuple[str, str, float]]:
    return [("", "", sum(map(_hours, records.values())))]


def _hours(record: Record) -> float:
    """Wall-clock hours times ranks: each rank holds a GPU (or a core)."""
    seconds = record.get("timing", {}).get("seconds") or 0.0
    ranks = record.get("provenance", {}).get("ranks") or 1
    return float(seconds) * int(ranks) / 3600
