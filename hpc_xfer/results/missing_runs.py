"""Find the planned runs without a result, and why. Derived from the store, never stored."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run
from hpc_xfer.system import atomic_files

MissingState = Literal["failed", "blocked", "not run"]
Record = Mapping[str, Any]
DIVERGED = "nan"  # the error class of a run whose loss became NaN or infinite
_LONGEST = 300  # characters of an error message that a table shows; error.json has all
_PARTS = ("metrics", "path", "timing", "provenance")  # of a record, that tables show


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
        run.id: {part: _compact(record[part]) for part in _PARTS if part in record}
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
    recipe = run.recipe
    if not isinstance(recipe, Finetune):
        return []
    needed = ["test_top1"] + (["val_top1"] if recipe.validation != "none" else [])
    path = record.get("path")
    if path is None:
        return [name for name in needed if not _finite(record["metrics"].get(name))]
    if not isinstance(path, dict) or not isinstance(path.get("values"), list):
        return ["path"]
    length = len(path["values"])
    return [name for name in needed if not _all_finite(path.get(name), length)]


def _all_finite(values: object, length: int) -> bool:
    return isinstance(values, list) and len(values) == length and all(map(_finite, values))


def _compact(part: Any) -> Any:
    """Keep lists of numbers as arrays: a path has a dozen lists of 45, a study 40,000 paths."""
    if not isinstance(part, dict):
        return part
    return {
        key: array("d", value)
        if isinstance(value, list) and value and all(type(v) is float for v in value)
        else value
        for key, value in part.items()
    }


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _line(text: object) -> str:
    line = " ".join(str(text or "").split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
