"""The store: the folder that all studies share. Its paths are in paths.py.

store = Store(Path("runs"))
store.run("c0ffee12ab34").record
"""

import json
import os
from pathlib import Path
from typing import Any

from hpc_xfer.errors import StoreError
from hpc_xfer.store.access import trusted
from hpc_xfer.store.documents.manifest import MANIFEST
from hpc_xfer.store.documents.record import RECORD
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Plan, Run, RunKind
from hpc_xfer.study.study_file import names_a_folder
from hpc_xfer.system import atomic_files, set_aside

SCHEMA = 1


class Store(StoreDir):
    """The store: what is finished in it, and what launches write for workers."""

    def studies(self) -> list[str]:
        """Names of all studies that were ever launched here; what else is there is noted."""
        try:
            with os.scandir(self.all_studies) as entries:
                found = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return []
        known = [name for name, is_folder in found.items() if is_folder and names_a_folder(name)]
        for name in found.keys() - known:
            if not name.startswith("."):  # those of file systems and desktops
                set_aside.note(self.all_studies / name, "is not the folder of a study")
        return sorted(known)

    def open(self, study: str | None = None) -> None:
        """Make the folders of the store, and of a study in it.

        Raises:
            StoreError: a folder cannot be written, or as `check`.
        """
        made = [self.runs, self.all_studies]
        made += [self.study(study).logs, self.study(study).packs] if study else []
        try:
            self.check(study)
            if not self.root.exists():
                atomic_files.make_folder(self.root, mode=0o770)  # minus the umask
            for folder in made:
                atomic_files.make_folder(folder)
        except OSError as error:
            raise StoreError(
                f"{self.root}: the store cannot be made ({error.strerror}); choose another --store"
            ) from error
        if not os.access(self.runs, os.W_OK):
            raise StoreError(f"{self.root}: the store cannot be written; choose another --store")

    def check(self, study: str | None = None) -> None:
        """Check what jobs run or trust, but the folders of runs: see `check_run`.

        Raises:
            StoreError: a part of it is a link, or others may write to it, and so run code as us.
        """
        trusted.check_store(self, study)

    def check_run(self, run: Run) -> None:
        """Check what the execution of a run trusts: checkpoints of its own, and its parents.

        Raises:
            StoreError: as `check`.
        """
        for each in (*run.parents, run):
            trusted.check_run_folder(self.run(each.id).path, self)

    def check_no_run_is_a_link(self, plan: Plan) -> None:
        """Check the folders of all runs of a plan, at the cost of one list of names.

        Raises:
            StoreError: one is a link.
        """
        links = trusted.linked(self.runs)
        for run in plan.runs if links else ():
            if run.id in links:
                self.run(run.id).check_is_no_link()

    def check_exists(self) -> None:
        """Check that the store is where this job was told, before anything is written anew there.

        Raises:
            StoreError: it is not.
        """
        if not self.root.is_dir():
            raise StoreError(
                f"{self.root}: the store was moved or removed while this job worked; launch the "
                "study again where it is now"
            )

    def record(self, run_id: str) -> dict[str, Any] | None:
        """Read the record of a run; None where it is missing, odd or of another run."""
        record = RECORD.read(self.run(run_id).record)
        return record if record is not None and record["run"] == run_id else None

    def done(self, plan: Plan) -> set[str]:
        """Ids of the finished runs of a plan; a record that was read before is not read again."""
        return self.finished_runs().of(plan.runs)

    def finished_runs(self) -> FinishedRuns:
        """Take one look at all finished runs."""
        return FinishedRuns.open(self, self.result)

    def is_done(self, run: Run) -> bool:
        return self.is_finished(run.id, run.kind)

    def is_finished(self, run_id: str, kind: RunKind) -> bool:
        """True where the record and, for a pre-training, the encoder are there."""
        return self.result(run_id, kind) is not None

    def result(self, run_id: str, kind: RunKind) -> dict[str, Any] | None:
        """Read the record of a run; None where the run is not finished."""
        if kind == "pretrain" and not os.path.exists(self.run(run_id).encoder):
            return None
        return self.record(run_id)

    def write_recipe(self, run: Run) -> None:
        """Write the recipe of a run, unless it is there already.

        Without fsync: the record holds the recipe too, and the next start writes what is damaged.

        Raises:
            StoreError: another recipe is there under this id, or it cannot be written.
        """
        path = self.run(run.id).recipe
        content = {
            "schema": SCHEMA, "run": run.id, "kind": run.kind, "recipe": run.spec,
            "parents": [parent.id for parent in run.parents],
        }  # fmt: skip
        on_disk = atomic_files.read_json(path)
        if on_disk is None:
            atomic_files.write_json(path, content, durable=False)
        elif on_disk != content:
            raise StoreError(
                f"{path}: holds another recipe than that of run {run.id}; move the folder of the "
                "run out of the store, then launch again"
            )

    def write_manifest(self, study: str, batch: JobArray, resources: dict[str, Any]) -> Path:
        """Write what workers need to execute the packs of a job array.

        Launches of the same array may differ in their resources; the last one counts.
        """
        path = self.study(study).manifest(batch.id)
        content = {"schema": SCHEMA, **batch.manifest(resources)}
        if atomic_files.read_json(path) != content or not trusted.is_trusted(path, self):
            atomic_files.write_bytes(path, json.dumps(content, sort_keys=True).encode())
        return path

    def read_manifest(self, study: str, batch_id: str) -> dict[str, Any]:
        """Read what `write_manifest` wrote.

        Raises:
            StoreError: the file is missing or damaged, or as `check`.
        """
        path = self.study(study).manifest(batch_id)
        trusted.check_file(path, self)
        content = MANIFEST.read(path)
        if content is None or content.get("schema") != SCHEMA:
            raise StoreError(f"{path}: is missing or damaged; launch the study again")
        return content
