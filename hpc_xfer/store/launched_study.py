"""What a launch leaves in the store before anything runs: the grid as launched, readable links."""

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hpc_xfer.config.site import Site
from hpc_xfer.errors import StoreError, StudyError
from hpc_xfer.store.store import SCHEMA, Store
from hpc_xfer.study import rehearsal
from hpc_xfer.study.labels import brief_label, pretrain_labels
from hpc_xfer.study.plan import Plan, make_plan
from hpc_xfer.study.study_file import Study, load_study
from hpc_xfer.system import atomic_files


def prepare_store(asked: Study, whole: Plan, store: Store) -> None:
    """Everything that jobs and later commands need to know of a study.

    Raises:
        StoreError: the store cannot be written.
    """
    store.open()
    folder = store.study(asked.name)
    folder.logs.mkdir(parents=True, exist_ok=True)
    folder.cancelled.unlink(missing_ok=True)
    atomic_files.write_text(folder.grid, asked.text)
    _link_boards(whole, store, asked.name)
    content = {
        "schema": SCHEMA,
        "study": asked.name,
        "grid": str(asked.path.resolve()),
        "rehearsal": asked.rehearsal,
        "runs": [run.id for run in whole.runs],
    }
    atomic_files.write_json(folder.plan, content)


def read_launched(store: Store, name: str) -> tuple[Study, Plan]:
    """A study as it was launched, whatever its file says by now.

    Raises:
        StoreError: it was not launched here.
        StudyError: it means something else today.
    """
    check_launched(store, name)
    folder = store.study(name)
    content = atomic_files.read_json(folder.plan)
    asked = load_study(Path(content["grid"]), folder.grid.read_text(encoding="utf-8"))
    if content["rehearsal"]:
        asked = rehearsal.rehearsal_of(asked)
    whole = make_plan(asked)
    if [run.id for run in whole.runs] != content["runs"]:
        raise StudyError(
            f"{folder.plan}: the same grid means other runs now (another version, or a file that "
            "it names has changed); launch it again"
        )
    return asked, whole


def check_launched(store: Store, name: str) -> None:
    """Raises:
    StoreError: no study of that name was launched in this store.
    """
    folder = store.study(name)
    if not isinstance(atomic_files.read_json(folder.plan), dict) or not folder.grid.exists():
        raise StoreError(f"{folder.path}: no study was launched here; launch it first")


def runs_of_other_studies(store: Store, name: str) -> set[str]:
    """Runs that other studies of the store are made of, done or not."""
    found: set[str] = set()
    for other in store.studies():
        content = atomic_files.read_json(store.study(other).plan) if other != name else None
        if isinstance(content, dict) and not store.study(other).cancelled.exists():
            found |= set(content["runs"])
    return found


def _link_boards(whole: Plan, store: Store, study_name: str) -> None:
    """Readable names for TensorBoard: studies/<name>/tb/<label>-<run> -> runs/<run>/tb."""
    folder = store.study(study_name).tensorboard
    folder.mkdir(parents=True, exist_ok=True)
    labels = pretrain_labels(whole.of("pretrain"))
    for run in whole.of("pretrain"):
        label = brief_label(labels[run.id]).replace(" ", "-").replace("/", "-")
        link = folder / f"{label}-{run.id}"
        target = os.path.relpath(store.run(run.id).tensorboard, folder)
        if not link.is_symlink():
            with contextlib.suppress(FileExistsError):  # another launch made it just now
                link.symlink_to(target)


@dataclass(frozen=True)
class LaunchedStudy:
    """A study that is to be handed in."""

    study: Study
    plan: Plan
    store: Store
    site: Site
    site_file: Path | None

    @cached_property
    def labels(self) -> dict[str, str]:
        return pretrain_labels(self.plan.of("pretrain"))
