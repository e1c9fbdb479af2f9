"""Stores of rehearsals: they stand beside the store of the study, named after their time."""

from datetime import datetime, timezone
from pathlib import Path

from hpc_xfer.errors import StudyError
from hpc_xfer.store.launched_study import launched_changes, load_in_store, used_stand_ins
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.store import Store
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.stand_ins.stand_in_study import with_stand_ins
from hpc_xfer.study.study_file import Study


def new_rehearsal_store(store: Store) -> Store:
    """Name a new one after the time in UTC, so that the newest is the last by name.

    It is the file server's time: hosts whose clocks differ may start rehearsals.
    """
    now = datetime.fromtimestamp(server_time(store.root), timezone.utc)
    name = f"{store.root}-rehearsal-{now:%Y%m%d-%H%M%S}"
    return Store(Path(name), store.trusts_members)


def newest_rehearsal_store(store: Store) -> Store | None:
    """Find the store of the last rehearsal; None where there was none."""
    found = sorted(store.root.parent.glob(f"{store.root.name}-rehearsal-*"))
    return Store(found[-1], store.trusts_members) if found else None


def load_last_rehearsal(study: Study, store: Store) -> tuple[Study, Store]:
    """Turn a study and its store into those of the last rehearsal, with what --set typed then.

    Raises:
        StudyError: there was no rehearsal.
    """
    found = newest_rehearsal_store(store)
    if found is None:
        raise StudyError(f"{store.root}: no rehearsal beside it; launch with --rehearse")
    typed = launched_changes(found, rehearsal_of(study).name)
    if typed and not study.changes:
        study = load_in_store(study.path, store, typed)
    short = rehearsal_of(study)
    return with_stand_ins(short) if used_stand_ins(found, short.name) else short, found
