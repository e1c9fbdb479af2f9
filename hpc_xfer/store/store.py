"""The store: the folder shared by all studies. The one owner of every path in it.

store = Store(Path("runs"))
store.run("c0ffee12ab34").record
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.errors import StoreError
from hpc_xfer.store.paths import RunDir, StudyDir
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Plan, Run, RunKind
from hpc_xfer.system import atomic_files

SCHEMA = 1


@dataclass(frozen=True)
class Store:
    root: Path

    def run(self, run_id: str) -> RunDir:
        return RunDir(self.root / "runs" / run_id)

    def study(self, name: str) -> StudyDir:
        return StudyDir(self.root / "studies" / name)

    def studies(self) -> list[str]:
        """Names of all studies that were ever launched here."""
        try:
            return sorted(path.name for path in (self.root / "studies").iterdir())
        except FileNotFoundError:
            return []

    @property
    def tag(self) -> str:
        """Tells the jobs of this store from those of another with a study of the same name."""
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:6]

    def fingerprint(self, key: str) -> Path:
        """Of a downstream image folder whose files are those that `key` is of."""
        return self.root / "fingerprints" / f"{key}.json"

    @property
    def lock(self) -> Path:
        """See lock.py."""
        return self.root / "lock"

    def open(self) -> None:
        """Make the folders.

        Raises:
            StoreError: the place cannot be written, or others may write there (what lies in a
                store is executed, so that would let them run code as us).
        """
        try:
            if not self.root.exists():
                self.root.parent.mkdir(parents=True, exist_ok=True)
                self.root.mkdir(mode=0o770, exist_ok=True)  # less what the umask takes
            folders = [self.root, self.root / "runs", self.root / "studies"]
            for folder in folders[1:]:
                folder.mkdir(mode=0o775, exist_ok=True)
            modes = {folder: folder.stat().st_mode for folder in folders}
        except OSError as error:
            raise StoreError(
                f"{self.root}: the store cannot be made ({error.strerror}); choose another --store"
            ) from error
        for folder, mode in modes.items():
            if mode & 0o002:
                raise StoreError(
                    f"{folder}: everybody may write to this store; run: chmod o-w {folder}"
                )
        if not os.access(self.root / "runs", os.W_OK):
            raise StoreError(f"{self.root}: the store cannot be written; choose another --store")

    def record(self, run_id: str) -> dict[str, Any] | None:
        """The result of a run; None where there is none, or half of one."""
        record = atomic_files.read_json(self.run(run_id).record)
        if not isinstance(record, dict) or record.get("run") != run_id:
            return None
        return record if isinstance(record.get("metrics"), dict) else None

    def done(self, plan: Plan) -> set[str]:
        """Ids of the runs with a whole record and, for a pre-training, its product."""
        return {run.id for run in plan.runs if self.is_done(run)}

    def is_done(self, run: Run) -> bool:
        return self.is_finished(run.id, run.kind)

    def is_finished(self, run_id: str, kind: RunKind) -> bool:
        """Whether there is a whole record and, for a pre-training, its product."""
        return self.result(run_id, kind) is not None

    def result(self, run_id: str, kind: RunKind) -> dict[str, Any] | None:
        """The record of a run that needs nothing more."""
        if kind == "pretrain" and not self.run(run_id).encoder.exists():
            return None
        return self.record(run_id)

    def write_recipe(self, run: Run) -> None:
        """Once; a file that says something else under the same id is refused.

        Raises:
            StoreError: the recipe on disk differs, or cannot be written.
        """
        path = self.run(run.id).recipe
        content = {
            "schema": SCHEMA, "run": run.id, "kind": run.kind, "recipe": run.spec,
            "parents": [parent.id for parent in run.parents],
        }  # fmt: skip
        there = atomic_files.read_json(path)
        if there is None:
            atomic_files.write_json(path, content)
        elif there != content:
            raise StoreError(f"{path}: is not the recipe of run {run.id}; move that folder away")

    def write_manifest(self, study: str, batch: JobArray, resources: dict[str, Any]) -> Path:
        """What workers need to execute its packs; resources may differ from launch to launch."""
        path = self.study(study).batch(batch.id)
        content = {"schema": SCHEMA, **batch.manifest(resources)}
        if atomic_files.read_json(path) != content:
            atomic_files.write_bytes(path, json.dumps(content, sort_keys=True).encode())
        return path

    def read_manifest(self, study: str, batch_id: str) -> dict[str, Any]:
        """The file that `write_batch` wrote.

        Raises:
            StoreError: it is absent or damaged.
        """
        path = self.study(study).batch(batch_id)
        content = atomic_files.read_json(path)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise StoreError(f"{path}: is absent or damaged; launch the study again")
        return content
