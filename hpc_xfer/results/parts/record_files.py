"""Read the record of a planned run, or say why it is set aside."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.errors import StoreError
from hpc_xfer.store.paths import RECORD
from hpc_xfer.store.store import SCHEMA
from hpc_xfer.study.plan import Run

Record = Mapping[str, Any]
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
        with open(f"{folder}/{RECORD}", "rb", buffering=0) as file:
            record = from_json(file.read())  # a quarter of the time that json takes
    except (FileNotFoundError, NotADirectoryError):
        return RecordFile()
    except ValueError:
        return RecordFile(why="is not whole JSON")
    except OSError as error:
        raise StoreError(
            f"{folder}/{RECORD}: cannot be read ({error.strerror}); fix the permissions"
        ) from error
    if not isinstance(record, dict) or not isinstance(record.get("metrics"), dict):
        return RecordFile(why="holds no metrics")
    if record.get("run") != run.id:
        return RecordFile(why=f"is the record of another run ({record.get('run')})")
    schema = record.get("schema", SCHEMA)
    if schema != SCHEMA:
        return RecordFile(why=f"has schema {schema}, and this version reads {SCHEMA}", is_done=True)
    if record.get("recipe", run.spec) != run.spec:
        return RecordFile(why=f"holds another recipe than run {run.id} has", is_done=True)
    if lacks := _lacks(run, record):
        return RecordFile(why=f"lacks {', '.join(lacks)}", is_done=True)
    if wrong := _beyond_shares(run, record):
        return RecordFile(why=f"has {wrong} outside 0 to 1", is_done=True)
    return RecordFile(record)


def copies(folder: str) -> list[str]:
    """Name the files beside a record that copying, or a crash while writing, left there.

    They are called `record (1).json`, `record.json.bak` or `.record.json.4711.tmp`.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if name.startswith(_COPIES) and name != RECORD)


def _lacks(run: Run, record: Record) -> list[str]:
    """The metrics that a comparison needs and that the record has no number for."""
    needed, path = _needed(run), record.get("path")
    if not needed:
        return []
    if path is None:
        return [name for name in needed if not _finite(record["metrics"].get(name))]
    if not isinstance(path, dict) or not isinstance(path.get("values"), list):
        return ["path"]
    length = len(path["values"])
    return [name for name in needed if not _all_finite(path.get(name), length)]


def _beyond_shares(run: Run, record: Record) -> str:
    """Name an accuracy, of those that nothing lacks, that is no share; empty if all are."""
    path = record.get("path")
    for name in _needed(run):
        values = path[name] if path is not None else [record["metrics"][name]]
        if values and not 0 <= min(values) <= max(values) <= 1:
            return name
    return ""


def _needed(run: Run) -> list[str]:
    recipe = run.recipe
    if not isinstance(recipe, Finetune):
        return []
    return ["test_top1"] + (["val_top1"] if recipe.validation != "none" else [])


def _all_finite(values: object, length: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == length
        and all(issubclass(kind, int | float) for kind in set(map(type, values)))
        and math.isfinite(sum(values))  # NaN and infinity stay in a sum
    )


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
