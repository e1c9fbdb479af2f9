"""A launched study: its grid and its plan as the launch left them in the store."""

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hpc_xfer.config import yaml_document
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.site import Site
from hpc_xfer.config.training_data import key_list
from hpc_xfer.errors import StoreError, StudyError
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.documents.document import Misfit
from hpc_xfer.store.documents.plan_document import COSTS, PLAN
from hpc_xfer.store.finished_costs import with_finished_costs
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.store.store import SCHEMA, Store
from hpc_xfer.study.cost_estimate import RunCosts
from hpc_xfer.study.labels import brief_label, run_labels
from hpc_xfer.study.overrides import AT_LAUNCH, changes_at_launch, read_changes
from hpc_xfer.study.plan import Plan, make_plan
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.selected.only import part_of, selected
from hpc_xfer.study.stand_ins.stand_in_study import with_stand_ins
from hpc_xfer.study.study_file import Study, load_study, names_a_folder
from hpc_xfer.system import atomic_files, set_aside
from hpc_xfer.system.written_path import absolute


@dataclass(frozen=True)
class LaunchedStudy:
    """A study with its plan, its store and its site: what a launch works on."""

    study: Study
    plan: Plan
    store: Store
    site: Site
    site_file: Path | None
    only: tuple[str, ...] = ()  # arguments of --only; jobs are submitted for these runs alone

    @cached_property
    def wanted(self) -> Plan:
        """The runs that are to be done: all, or those of --only and what they need."""
        return part_of(self.plan, selected(self.plan, self.only)) if self.only else self.plan

    @property
    def alone(self) -> "LaunchedStudy":
        """This study as if it had the wanted runs alone."""
        return replace(self, plan=self.wanted, only=())

    @cached_property
    def labels(self) -> dict[str, str]:
        """A readable label for each pre-training, by run id."""
        return run_labels(self.plan.of("pretrain"))


def prepare_store(study: Study, plan: Plan, store: Store, only: Sequence[str] = ()) -> None:
    """Write what jobs and later commands need to know about a study.

    Args:
        only: arguments of --only; the relay keeps to these and those of launches before.

    Raises:
        StoreError: the store cannot be written, or as `Store.check`.
    """
    store.open(study.name)
    store.check_no_run_is_a_link(plan)
    take_snapshot(store)
    for recipe in study.pretrains:
        if isinstance(recipe, Trained) and recipe.select is not None and recipe.select.keys:
            key_list.put_in_store(store.root, recipe.select.keys)
    folder = store.study(study.name)
    parts = _parts(plan, folder, only)
    folder.cancelled.unlink(missing_ok=True)
    atomic_files.write_text(folder.grid, study.text)
    with atomic_files.as_store_error(folder.tensorboard):
        _link_tensorboards(plan, store, study.name)
    content = {
        "schema": SCHEMA,
        "study": study.name,
        "grid": str(absolute(study.path)),
        "rehearsal": study.rehearsal,
        **({"stand_ins": True} if study.stand_ins else {}),
        "protocol": study.protocol,
        "runs": [run.id for run in plan.runs],
        **({"only": parts} if parts else {}),
        **({} if plan.costs is None else {"costs": plan.costs.as_json()}),
    }
    atomic_files.write_json(folder.plan, content)


def read_launched(store: Store, name: str) -> tuple[Study, Plan]:
    """Read a study as it was launched, even if its grid file has changed since.

    Raises:
        StoreError: it was not launched in this store.
        StudyError: the same grid gives other runs today.
    """
    check_launched(store, name)
    folder = store.study(name)
    content = PLAN.read(folder.plan)
    assert content is not None  # see check_launched
    text = _grid_text(folder.grid)
    study = load_study(Path(content["grid"]), text, content.get("protocol", "0.1"))
    if content["rehearsal"]:
        study = rehearsal_of(study)
    if content.get("stand_ins"):
        study = with_stand_ins(study)
    plan = make_plan(study)
    if [run.id for run in plan.runs] != content["runs"]:
        raise StudyError(
            f"{folder.plan}: the grid now gives other runs than at its launch (another version of "
            "hpc_xfer, or a file that the grid names has changed); launch the study again"
        )
    return study, with_finished_costs(plan.with_costs(_costs(folder, content)), store)


def _parts(plan: Plan, folder: StudyDir, only: Sequence[str]) -> list[str]:
    """Return what the relay is to keep to after this launch: [] for all runs.

    A part is added to parts that were launched before. A launch of all runs stays one, unless it
    was cancelled or the grid has grown since.
    """
    before = PLAN.read(folder.plan) if only and not folder.cancelled.exists() else None
    if before is None:
        return list(only)
    if not before["only"]:
        return [] if plan.by_id.keys() <= set(before["runs"]) else list(only)
    parts = []
    for each in before["only"]:
        with contextlib.suppress(StudyError):  # the grid no longer has it
            parts += [each] if selected(plan, [each]) else []
    return list(dict.fromkeys((*parts, *only)))


def launched_parts(store: Store, name: str) -> tuple[str, ...]:
    """Return the arguments of --only to which the last launch of a study keeps; () for all runs."""
    content = PLAN.read(store.study(name).plan)
    return () if content is None else tuple(content["only"])


def _grid_text(path: Path) -> str:
    try:
        return atomic_files.read_bytes(path).decode()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); launch the study again") from error


def plan_in_store(study: Study, store: Store) -> Plan:
    """Make the plan of a study, with the estimates of its last launch in this store, if any.

    The runs are those of the grid as it is now.
    """
    folder = store.study(study.name)
    content = PLAN.read(folder.plan)
    return make_plan(study, None if content is None else _costs(folder, content))


def _costs(folder: StudyDir, content: dict[str, Any]) -> RunCosts | None:
    """Take the costs out of plan.json; None where there are none, or odd ones, which is noted."""
    if (costs := content.get("costs")) is None:
        return None
    try:
        return RunCosts.from_json(COSTS.fitted(costs))
    except Misfit as why:
        set_aside.note(folder.plan, f"costs: {why}")
        return None


def load_in_store(
    path: Path, store: Store, changes: Sequence[str] | None = None, is_launch: bool = False
) -> Study:
    """Read a grid file; a study that version 0.1 launched in this store goes on with its protocol.

    Version 0.1 had other defaults, so the same grid would give other runs. A grid that names its
    protocol is taken at its word.

    Args:
        changes: arguments of --set. Where they are some of those of the last launch in this
            store, or none, all of them are meant, unless this is a launch.

    Raises:
        StudyError: as `load_study`.
    """
    data = yaml_document.load_yaml(path).data
    changes = tuple(changes or ())
    typed = read_changes(changes)
    name = typed.get("name", data.get("name"))
    if not isinstance(name, str) or not names_a_folder(name):
        return load_study(path, changes=changes)
    if not is_launch:
        last = launched_changes(store, name)
        known = read_changes(last)
        changes = last if {**known, **typed} == known else changes
    if "protocol" in data:
        return load_study(path, changes=changes)
    content = PLAN.read(store.study(name).plan)
    if content is None or "protocol" in content:
        return load_study(path, changes=changes)
    with contextlib.suppress(StudyError):
        study = load_study(path, protocol="0.1", changes=changes)
        children = {run.id for run in make_plan(study).of("finetune")}
        if not children or children & set(content["runs"]):
            return study
    return load_study(path, changes=changes)


def launched_changes(store: Store, name: str) -> tuple[str, ...]:
    """Return the arguments of --set of the last launch of a study in this store."""
    path = store.study(name).grid
    try:
        text = _grid_text(path)
        return changes_at_launch(yaml_document.load_yaml(path, text)) if AT_LAUNCH in text else ()
    except (StoreError, StudyError):  # none was launched; `read_launched` tells other errors
        return ()


def used_stand_ins(store: Store, name: str) -> bool:
    """Tell whether the last launch of a study in this store was a rehearsal on stand-ins."""
    content = PLAN.read(store.study(name).plan)
    return content is not None and bool(content.get("stand_ins"))


def other_changes(study: Study, store: Store) -> Iterator[str]:
    """Yield a note where the last launch had other arguments of --set than this one."""
    last = launched_changes(store, study.name)
    if last and read_changes(last) != read_changes(study.changes):
        again = shlex.join(word for change in last for word in ("--set", change))
        yield f"note: the last launch of this study had {again}; add it to go on with that one"


def check_launched(store: Store, name: str) -> None:
    """Check that a study of this name was launched in this store.

    Raises:
        StoreError: it was not.
    """
    if not was_launched(store, name):
        path = store.study(name).path
        raise StoreError(f"{path}: no study was launched here; launch it first")


def was_launched(store: Store, name: str) -> bool:
    """Tell whether a study of this name was launched in this store."""
    folder = store.study(name)
    return PLAN.read(folder.plan) is not None and folder.grid.exists()


def runs_of_other_studies(store: Store, name: str) -> set[str]:
    """Ids of the runs of all other studies of the store, unless these are cancelled."""
    found: set[str] = set()
    for other in store.studies():
        content = PLAN.read(store.study(other).plan) if other != name else None
        if content is not None and not store.study(other).cancelled.exists():
            found |= set(content["runs"])
    return found


def _link_tensorboards(plan: Plan, store: Store, study_name: str) -> None:
    """Link readable names for TensorBoard: studies/<name>/tb/<label>-<run> -> runs/<run>/tb."""
    folder = store.study(study_name).tensorboard
    atomic_files.make_folder(folder)
    labels = run_labels(plan.of("pretrain"))
    for run in plan.of("pretrain"):
        label = brief_label(labels[run.id]).replace(" ", "-").replace("/", "-")
        link = folder / f"{label}-{run.id}"
        for old in folder.glob(f"*-{run.id}"):  # a grid that grows changes labels
            if old != link and old.is_symlink():
                old.unlink(missing_ok=True)
        target = os.path.relpath(store.run(run.id).tensorboard, folder)
        if not link.is_symlink():
            with contextlib.suppress(FileExistsError):  # another launch made it at the same time
                link.symlink_to(target)
