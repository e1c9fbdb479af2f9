"""The table of pre-trainings: loss, samples, speed, and what each one cost."""

from collections.abc import Sequence

from hpc_xfer.reporting.gpu_hours import gpu_hours
from hpc_xfer.reporting.page_tables.page_table import (
    NOTHING,
    PageCell,
    PageColumn,
    PageTable,
    hours,
    number,
    page_table,
    text,
)
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.csv_files import Row

_NOTE = (
    "GPU-hours are hours times ranks; without a GPU they are hours times processes. The final loss "
    "is the mean over the last 50 steps, or over the last tenth of a run of less than 500 steps "
    "(loss_steps in runs.csv; where that is empty, an older version wrote a mean that still "
    "contains the first losses). It is comparable within one method and setting alone."
)


def pretraining_table(runs: Sequence[Row]) -> PageTable:
    """Show the finished pre-trainings, from the rows of runs.csv."""
    columns: tuple[PageColumn[Row], ...] = (
        text("label", lambda run: run["label"]),
        PageColumn("seed", _seed, numeric=True),
        number("final loss", lambda run: _of(run, "final_loss"), ".3f"),
        number("samples seen", lambda run: _of(run, "measured_samples_seen", "samples_seen")),
        number("samples/s", lambda run: _of(run, "samples_per_second")),
        hours("hours", _hours),
        hours("GPU-hours", gpu_hours),
        text("on", lambda run: run["gpu"] or "CPU"),
        text("run", lambda run: run["run"]),
    )
    rows = [run for run in runs if run["kind"] == "pretrain"]
    return page_table("Finished pre-trainings", columns, rows, _NOTE)


def _seed(run: Row) -> PageCell:
    """Show the seed as the table has it; sort by it where it is a number."""
    seed = run.get("pretrain_seed") or ""
    return PageCell(seed or NOTHING, float(seed) if seed.isdecimal() else None)


def _hours(run: Row) -> float | None:
    seconds = _of(run, "seconds")
    return None if seconds is None else seconds / 3600


def _of(run: Row, *names: str) -> float | None:
    """Read the first of these columns that is there and filled."""
    found = (csv_files.number(run.get(name, "")) for name in names)
    return next((value for value in found if value is not None), None)
