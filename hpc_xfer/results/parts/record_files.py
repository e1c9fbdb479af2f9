"""Read the record of a planned run, or say why it is set aside."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.errors import StoreError
from hpc_xfer.store import paths
from hpc_xfer.store.documents.record import RECORD
from hpc_xfer.store.store import SCHEMA
from hpc_xfer.study.plan import Run
from hpc_xfer.system import atomic_files
from hpc_xfer.system.limits import bounded_json

Record = Mapping[str, Any]
_LONGEST_NAME = 64
_NO_NUMBERS = ("key", "converged")  # columns of a path
_NUMBERS = frozenset((int, float))
_COPIES = ("record", ".record", "Record", "Copy of record")


@dataclass(frozen=True)
class RecordFile:
    """The record.json of a run: its content if it can be used, else the reason."""

    record: Record | None = None
    why: str = ""  # it is set aside; empty where there is none
    is_done: bool = False  # launches take the run for finished all the same


def read_record(run: Run, folder: str) -> RecordFile:
    """Read and check a record. A half-written one counts as none: the run starts again.

    Args:
        run: as planned.
        folder: of the run.
    """
    try:
        data = atomic_files.read_bytes(f"{folder}/{paths.RECORD}", RECORD.most)
        record = RECORD.fitted(bounded_json.parse(data))
    except (FileNotFoundError, NotADirectoryError):
        return RecordFile()
    except ValueError as odd:
        return RecordFile(why=str(odd))
    except PermissionError as error:
        return RecordFile(why=f"cannot be read ({error.strerror})")
    except OSError as error:
        raise StoreError(
            f"{folder}/{paths.RECORD}: cannot be read ({error.strerror}); fix the permissions"
        ) from error
    if record["run"] != run.id:
        return RecordFile(why=f"is the record of another run ({record['run']})")
    schema = record.get("schema", SCHEMA)
    if schema != SCHEMA:
        return RecordFile(why=f"has schema {schema}, and this version reads {SCHEMA}", is_done=True)
    if "recipe" in record and record["recipe"] != run.spec:
        return RecordFile(why=f"holds another recipe than run {run.id} has", is_done=True)
    path = record.get("path")
    if path is not None and (wrong := _odd_columns(path)):
        return RecordFile(why=f"has a path without whole {wrong}", is_done=True)
    needed = _needed(run)
    if lacks := _lacks(needed, record):
        return RecordFile(why=f"lacks {', '.join(lacks)}", is_done=True)
    if wrong := _beyond_shares(needed, record):
        return RecordFile(why=f"has {wrong} outside 0 to 1", is_done=True)
    return RecordFile(record)


def copies(folder: str) -> list[str]:
    """Name the files beside a record that copying, or a crash while writing, left there.

    They are called `record (1).json`, `record.json.bak` or `.record.json.4711.tmp`.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return sorted(name for name in names if name.startswith(_COPIES) and name != paths.RECORD)


def _lacks(needed: Sequence[str], record: Record) -> list[str]:
    """The metrics that a comparison needs and that the record has no number for."""
    path = record.get("path")
    if path is not None:  # whose columns are whole
        return [name for name in needed if name not in path]
    return [name for name in needed if not _finite(record["metrics"].get(name))]


def _odd_columns(path: Record) -> str:
    """Name a column of a path that is no list of as many numbers as it has values."""
    length = len(path["values"]) if isinstance(path.get("values"), list) else -1
    numbers = [column for name, column in path.items() if name not in _NO_NUMBERS]
    whole = all(isinstance(each, list) and len(each) == length for each in numbers)
    # A look at the numbers of all columns takes less time than one at each column.
    whole = whole and _all_finite([*itertools.chain.from_iterable(numbers)])
    for name in filter(path.__contains__, _NO_NUMBERS) if whole else path:
        if not _fits(name, path[name], length):
            return name if len(name) <= _LONGEST_NAME else "columns"
    return "" if {"key", "values"} <= path.keys() else "columns"


def _fits(name: str, column: object, length: int) -> bool:
    if name == "key":
        return isinstance(column, str)
    if not isinstance(column, list):
        return False
    if name == "converged":  # may be empty: then all are
        return len(column) in (0, length) and set(map(type, column)) <= {bool}
    return len(column) == length and _all_finite(column)


def _beyond_shares(needed: Sequence[str], record: Record) -> str:
    """Name an accuracy, of those that nothing lacks, that is no share; empty if all are."""
    path = record.get("path")
    for name in needed:
        values = path[name] if path is not None else [record["metrics"][name]]
        if values and not 0 <= min(values) <= max(values) <= 1:
            return name
    return ""


def _needed(run: Run) -> list[str]:
    recipe = run.recipe
    if not isinstance(recipe, Finetune):
        return []
    return ["test_top1"] + (["val_top1"] if recipe.validation != "none" else [])


def _all_finite(values: Sequence[Any]) -> bool:
    """Return whether all are finite numbers: NaN and infinity stay in a sum."""
    return _NUMBERS.issuperset(map(type, values)) and math.isfinite(sum(values))


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
