"""Find the planned runs without a result, and why. Derived from the store, never stored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run
from hpc_xfer.system import atomic_files

MissingState = Literal["failed", "blocked", "not run"]
Record = Mapping[str, Any]
DIVERGED = "nan"  # the error class of a run whose loss became NaN or infinite
_LONGEST = 300  # characters of an error message that a table shows; error.json has all
_PARTS = ("metrics", "timing", "provenance")  # of a record, that tables show
_COMPARED = ("val_top1", "test_top1")  # without these a fine-tuning cannot be compared


@dataclass(frozen=True)
class MissingRun:
    """One planned run without a result."""

    run: Run
    state: MissingState
    error: str = ""  # class
    message: str = ""  # one line


def usable_records(plan: Plan, store: Store) -> dict[str, Record]:
    """Run id -> what tables show of its record, in the order of the plan.

    A half-written record counts as none. The recipe is left out: the plan has it, and 40,000 of
    them would be 100 MB.
    """
    found = ((run, store.record(run.id)) for run in plan.runs)
    return {
        run.id: {part: record[part] for part in _PARTS if part in record}
        for run, record in found
        if record is not None and not _lacks(run, record)
    }


def missing(plan: Plan, store: Store, records: Mapping[str, Record]) -> list[MissingRun]:
    """List the runs without a usable record, in the order of the plan."""
    return [_why(run, store, records) for run in plan.runs if run.id not in records]


def _why(run: Run, store: Store, records: Mapping[str, Record]) -> MissingRun:
    record = store.record(run.id)
    if record is not None:
        path, lacks = store.run(run.id).record, ", ".join(_lacks(run, record))
        return MissingRun(
            run, "failed", "BadRecord", f"{path} lacks {lacks}; remove it and launch again"
        )
    for parent in run.parents:
        if parent.id not in records:
            return MissingRun(run, "blocked", message=f"its parent {parent.id} has no result")
    error = atomic_files.read_json(store.run(run.id).error)
    if isinstance(error, dict):
        return MissingRun(run, "failed", _line(error.get("class")), _line(error.get("message")))
    return MissingRun(run, "not run")


def _lacks(run: Run, record: Record) -> list[str]:
    """The metrics that a comparison needs and that the record has no number for."""
    metrics = record["metrics"]
    return [name for name in _COMPARED if run.kind == "finetune" and not _finite(metrics.get(name))]


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _line(text: object) -> str:
    line = " ".join(str(text or "").split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
