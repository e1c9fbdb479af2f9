"""Read a pack for a worker from the manifest of its job array."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpc_xfer.config.resources import FinetuneResources, PretrainResources
from hpc_xfer.errors import RecipeUnreadable, StoreError, XferError
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run, restore_run

_MOST_BELOW = 100  # generations of runs: pre-trainings that start from each other in a row


@dataclass(frozen=True)
class UnreadRun:
    """A run of a pack that cannot be executed, and why."""

    id: str
    error: XferError


@dataclass(frozen=True)
class LoadedPack:
    """A pack as a worker executes it."""

    id: str
    runs: tuple[Run, ...]
    resources: PretrainResources | FinetuneResources
    spare: tuple[Run, ...] = ()  # of other workers of this pack: executed if they are left over
    unread: tuple[UnreadRun, ...] = ()  # recorded as failed; the other runs are executed

    def without(self, skipped: Sequence[str]) -> "LoadedPack":
        """Leave out the runs with these ids."""
        return replace(
            self,
            runs=tuple(run for run in self.runs if run.id not in skipped),
            unread=tuple(run for run in self.unread if run.id not in skipped),
        )

    def share(self, number: int, count: int) -> "LoadedPack":
        """Return the runs of one of `count` workers that execute the pack together.

        Those of the others are spare, the last first, so that two workers meet late.
        """
        others = [run for i, run in enumerate(self.runs) if i % count != number]
        return replace(
            self,
            runs=self.runs[number::count],
            spare=tuple(reversed(others)),
            unread=self.unread if number == 0 else (),
        )


def read_pack(store: Store, study: str, name: str) -> LoadedPack:
    """Read the pack named `ARRAY/INDEX`; a run that cannot be read keeps no other one back.

    Raises:
        StoreError: the manifest is absent or damaged, or has no such pack.
    """
    batch, _, index = name.partition("/")
    manifest = store.read_manifest(study, batch)
    path = store.study(study).manifest(batch)
    try:
        if not index.isascii() or not index.isdigit():
            raise ValueError("is not a number")
        ids: list[str] = manifest["packs"][int(index)]
    except (IndexError, ValueError) as error:
        raise StoreError(
            f"{path}: has no pack {index!r} ({_reason(error)}); launch the study again"
        ) from error
    try:
        model = PretrainResources if manifest["kind"] == "pretrain" else FinetuneResources
        resources = model.model_validate_json(json.dumps(manifest["resources"]))
    except (TypeError, KeyError, ValueError) as error:
        why = _unreadable(path, "the resources", error)
        unread = tuple(UnreadRun(run_id, why) for run_id in ids)
        return LoadedPack(name, (), FinetuneResources(), unread=unread)
    found = [_read_or_say(manifest, run_id, path) for run_id in ids]
    runs = tuple(each for each in found if isinstance(each, Run))
    unread = tuple(each for each in found if isinstance(each, UnreadRun))
    return LoadedPack(name, runs, resources, unread=unread)


def _read_or_say(manifest: dict[str, Any], run_id: str, path: Path) -> Run | UnreadRun:
    try:
        return read_run(manifest, run_id)
    except (TypeError, KeyError, AttributeError, ValueError, ArithmeticError) as error:
        return UnreadRun(run_id, _unreadable(path, f"the recipe of run {run_id}", error))


def _unreadable(path: Path, what: str, error: Exception) -> RecipeUnreadable:
    return RecipeUnreadable(
        f"{path}: this version cannot read {what} ({_reason(error)}); launch the study again with "
        "--retry-failed"
    )


def _reason(error: Exception) -> str:
    """Say in one line why something was not as it should be."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())[:300]


def read_run(manifest: dict[str, Any], run_id: str, below: int = _MOST_BELOW) -> Run:
    """Read a run and its parents from a manifest.

    Args:
        below: generations that it may have before it.

    Raises:
        ValueError: the recipe is from another version.
    """
    content = manifest["runs"][run_id]
    if below < 0:
        raise ValueError(f"run {run_id} is among its own parents")
    parents = tuple(read_run(manifest, parent, below - 1) for parent in content["parents"])
    if content["kind"] == "finetune" and not parents:
        raise ValueError(f"run {run_id} has {len(parents)} parents")
    run = restore_run(content["kind"], content["recipe"], parents)
    if run.id != run_id:
        raise ValueError(f"run {run_id} belongs to another version of hpc_xfer")
    return run
