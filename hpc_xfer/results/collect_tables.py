"""Turn the records of a study into CSVs; the same records give the same bytes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.results import averages, csv_files
from hpc_xfer.results.analysis import analyse
from hpc_xfer.results.answers.all_answers import answer_tables
from hpc_xfer.results.averages import Average
from hpc_xfer.results.cells_table import cells_table
from hpc_xfer.results.costs import repetition_costs
from hpc_xfer.results.csv_files import Table
from hpc_xfer.results.imported.combined import own_study
from hpc_xfer.results.imported.imported_cells import Imported, read_imported
from hpc_xfer.results.missing_runs import missing, usable_records
from hpc_xfer.results.missing_table import missing_table
from hpc_xfer.results.panels import panels_of
from hpc_xfer.results.runs_table import runs_table
from hpc_xfer.results.test_images import read_test_images
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan

TABLES = (
    "runs", "cells", "averages", "gaps", "scaling", "ranks", "variance", "selection", "missing",
)  # fmt: skip


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
    imported: int = 0  # cells of elsewhere, not among the others

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
    records = usable_records(plan, store)
    absent = missing(plan, store, records)
    found = analyse(plan, records, absent)
    imported = Imported()
    if folder is not None and folder.imported.exists():
        own = own_study(plan.facts, found.encoders, found.cells, records)
        imported = read_imported(folder, own)
    panels = panels_of([*found.scores, *imported.scores])
    images = read_test_images(found.hits_files(store))
    means = averages.averages(panels, images)
    chosen = {choice.run.id: choice for choice in found.chosen}
    costs = repetition_costs(found.cells, found.encoders, records)
    cells = imported.added_to(cells_table(found.chosen, plan.tuned, found.encoders))
    tuned = list(dict.fromkeys((*plan.tuned, *imported.tuned)))
    answers = answer_tables(panels, images, means, costs, csv_files.as_read(cells), tuned)
    tables: dict[str, Table] = {
        "runs": runs_table(plan, found.encoders, records, chosen),
        "cells": cells,
        "averages": averages.table(means, found.panel_settings),
        **answers,
        "missing": missing_table(plan, absent, found),
    }
    files = {name: out / f"{name}.csv" for name in tables}
    for name, table in tables.items():
        csv_files.write(files[name], *table)
    states = Counter(run.state for run in absent)
    return Collected(
        planned=len(plan.runs),
        finished=len(records),
        failed=states["failed"],
        blocked=states["blocked"],
        not_run=states["not run"],
        cells=len(found.cells),
        cells_complete=len(found.chosen),
        averages=tuple(means),
        files=files,
        imported=len(imported.cells),
    )
