"""Turn the records of a study into CSVs; the same records give the same bytes."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.results import averages
from hpc_xfer.results.answers.all_answers import answer_tables
from hpc_xfer.results.answers.selection import CellRows
from hpc_xfer.results.averages import Average
from hpc_xfer.results.costs import repetition_costs
from hpc_xfer.results.imported.combined import own_study
from hpc_xfer.results.imported.imported_cells import Imported, read_imported
from hpc_xfer.results.panels import panels_of
from hpc_xfer.results.parts.all_parts import Parts, read_parts
from hpc_xfer.results.parts.panel_images import panel_images
from hpc_xfer.results.parts.record_cache import RecordCache, key_of
from hpc_xfer.results.parts.set_aside import set_aside, write_set_aside
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.csv_files import Lines
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.system.limits import cycle_collector


@dataclass(frozen=True)
class Collected:
    """Counts of runs and cells, the averages, and the files that were written."""

    planned: int  # runs
    finished: int
    failed: int
    blocked: int  # their parent failed
    not_run: int
    cells: int
    cells_complete: int
    averages: tuple[Average, ...]
    files: Mapping[str, Path]  # by name, see table_names.py
    imported: int = 0  # cells from elsewhere, not among the others
    set_aside: int = 0  # files in the folders of runs that are not used

    @property
    def summary(self) -> dict[str, object]:
        """For --json."""
        runs = {name: getattr(self, name) for name in COUNTS}
        return {
            "schema": 1,
            "runs": runs,
            "cells": {
                "planned": self.cells,
                "complete": self.cells_complete,
                "imported": self.imported,
            },
            "set_aside": self.set_aside,
            "files": {name: str(path) for name, path in self.files.items()},
        }


COUNTS = ("planned", "finished", "failed", "blocked", "not_run")


def collect(plan: Plan, store: Store, out: Path, folder: StudyDir | None = None) -> Collected:
    """Read every record of the plan and write the CSVs to `out`.

    Args:
        folder: of the study, for what was imported into it.

    Raises:
        StoreError: `out` cannot be written, or the study contradicts what was imported.
    """
    with cycle_collector.paused():
        return _collect(plan, store, out, folder)


def _collect(plan: Plan, store: Store, out: Path, folder: StudyDir | None) -> Collected:
    if folder is not None:
        folder.check_is_no_link()
    cache = RecordCache.open(folder, store.trusts_members)
    parts = read_parts(plan, store, cache)
    imported = Imported()
    if folder is not None and folder.imported.exists():
        imported = read_imported(folder, own_study(plan.facts, parts))
    found = panel_images(parts, store, cache)
    states = {key: key_of(state, imported.scores) for key, state in found.states.items()}
    panels, images = panels_of([*parts.scores, *imported.scores], states), found.images
    means = averages.averages(panels, images)
    cells = _cells(parts, imported)
    tuned = list(dict.fromkeys((*plan.tuned, *imported.tuned)))
    costs = repetition_costs(parts.all)
    by_place = _by_place(cells) if imported.cells else parts.cell_rows
    answers = answer_tables(panels, images, means, costs, by_place, tuned, cache)
    derived = {"averages": averages.table(means, parts.panel_settings), **answers}
    tables: dict[str, Lines] = {
        "runs": parts.table("runs"),
        "cells": cells,
        **{name: Lines.of(*table) for name, table in derived.items()},
        "missing": parts.missing,
    }
    files = {name: out / f"{name}.csv" for name in tables}
    for name, table in tables.items():
        csv_files.write_lines(files[name], table)
    aside = set_aside(parts, images, store)
    files |= write_set_aside(aside, out)
    cache.save()
    runs = parts.states
    return Collected(
        planned=len(plan.runs),
        finished=runs["finished"],
        failed=runs["failed"],
        blocked=runs["blocked"],
        not_run=runs["not run"],
        cells=sum(len(each.part.scores) for each in parts.all),
        cells_complete=sum(score.test_top1 is not None for score in parts.scores),
        averages=tuple(means),
        files=files,
        imported=len(imported.cells),
        set_aside=len(aside),
    )


def _cells(parts: Parts, imported: Imported) -> Lines:
    own = parts.table("cells")
    columns, rows = imported.added_to((own.columns, []))
    return own.laid_out(columns) + Lines.of(columns, rows)


def _by_place(cells: Lines) -> list[CellRows]:
    """Sort rows by data set and shot count."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in cells.rows:
        found.setdefault((row["dataset"], row["shots"]), []).append(row)
    return [
        CellRows(shots, key_of(rows), functools.partial(list, rows))
        for (_, shots), rows in found.items()
    ]
