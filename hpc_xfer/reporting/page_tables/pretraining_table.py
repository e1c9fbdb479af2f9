"""The table of pre-trainings: loss, samples, speed, and what each one cost."""

import json
from collections.abc import Sequence

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
    "GPU-hours are hours times ranks; without a GPU they are hours times processes. A loss is "
    "comparable within one method and setting alone."
)


def pretraining_table(runs: Sequence[Row]) -> PageTable:
    """Show the finished pre-trainings, from the rows of runs.csv."""
    columns = (
        text("label", lambda run: run["label"]),
        PageColumn("seed", _seed, numeric=True),
        number("final loss", lambda run: _of(run, "final_loss"), ".3f"),
        number("samples seen", lambda run: _of(run, "measured_samples_seen", "samples_seen")),
        number("samples/s", lambda run: _of(run, "samples_per_second")),
        hours("hours", _hours),
        hours("GPU-hours", _gpu_hours),
        text("on", lambda run: run["gpu"] or "CPU"),
        text("run", lambda run: run["run"]),
    )
    rows = [run for run in runs if run["kind"] == "pretrain"]
    return page_table("Finished pre-trainings", columns, rows, _NOTE)


def _gpu_hours(run: Row) -> float | None:
    """Hours times ranks; a run that went on with other ranks counts each part with its own."""
    taken, parts, steps = _hours(run), run.get("ranks", ""), _of(run, "steps")
    if taken is None or not parts:
        return None
    found = [(int(part["from_step"]), int(part["ranks"])) for part in json.loads(parts)]
    if len(found) == 1 or not steps:
        return taken * found[-1][1]
    ends = [*(start for start, _ in found[1:]), steps]
    done = [(end - start) * ranks for (start, ranks), end in zip(found, ends, strict=True)]
    return taken * sum(done) / (steps - found[0][0])


def _seed(run: Row) -> PageCell:
    """A seed is a number, but for results of elsewhere, which may name it as they like."""
    seed = run.get("pretrain_seed") or ""
    return PageCell(seed or NOTHING, float(seed) if seed.isdecimal() else None)


def _hours(run: Row) -> float | None:
    seconds = _of(run, "seconds")
    return None if seconds is None else seconds / 3600


def _of(run: Row, *names: str) -> float | None:
    """Read the first of these columns that is there and filled."""
    found = (csv_files.number(run.get(name, "")) for name in names)
    return next((value for value in found if value is not None), None)
