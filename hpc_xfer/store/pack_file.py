"""Read a pack for a worker from the manifest of its job array."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpc_xfer.config.resources import FinetuneResources, PretrainResources
from hpc_xfer.errors import StoreError
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run, restore_run


@dataclass(frozen=True)
class LoadedPack:
    """A pack as a worker executes it."""

    id: str
    runs: tuple[Run, ...]
    resources: PretrainResources | FinetuneResources
    spare: tuple[Run, ...] = ()  # of other workers of this pack: executed if they are left over

    def without(self, skipped: Sequence[str]) -> "LoadedPack":
        """Leave out the runs with these ids."""
        return replace(self, runs=tuple(run for run in self.runs if run.id not in skipped))

    def share(self, number: int, count: int) -> "LoadedPack":
        """Return the runs of one of `count` workers that execute the pack together.

        Those of the others are spare, the last first, so that two workers meet late.
        """
        others = [run for i, run in enumerate(self.runs) if i % count != number]
        return replace(self, runs=self.runs[number::count], spare=tuple(reversed(others)))


def read_pack(store: Store, study: str, name: str) -> LoadedPack:
    """Read the pack named `ARRAY/INDEX`.

    Raises:
        StoreError: the manifest is absent, damaged, or from another version of the recipes.
    """
    batch, _, index = name.partition("/")
    manifest = store.read_manifest(study, batch)
    path = store.study(study).manifest(batch)
    try:
        runs = tuple(read_run(manifest, run_id) for run_id in manifest["packs"][int(index)])
        model = PretrainResources if manifest["kind"] == "pretrain" else FinetuneResources
        resources = model.model_validate_json(json.dumps(manifest["resources"]))
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise StoreError(
            f"{path}: has no pack {index!r} that this version can read ({error}); launch the "
            "study again"
        ) from error
    return LoadedPack(name, runs, resources)


def read_run(manifest: dict[str, Any], run_id: str) -> Run:
    """Read a run and its parents from a manifest.

    Raises:
        ValueError: the recipe is from another version.
    """
    content = manifest["runs"][run_id]
    parents = tuple(read_run(manifest, parent) for parent in content["parents"])
    run = restore_run(content["kind"], content["recipe"], parents)
    if run.id != run_id:
        raise ValueError(f"run {run_id} belongs to another version of hpc_xfer")
    return run
