"""..."""

from datetime import datetime, timezone
from pathlib import Path

from hpc_xfer.errors import StudyError
from hpc_xfer.store.store import Store
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.study_file import Study


def new_rehearsal_store(store: Store) -> Store:
    """A new one, named after this moment: in UTC, so that the newest is the last by name."""
    now = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    return Store(Path(f"{store.root}-rehearsal-{now}"))


def newest_rehearsal_store(store: Store) -> Store | None:
    """The last rehearsal's store."""
    found = sorted(store.root.parent.glob(f"{store.root.name}-rehearsal-*"))
    return Store(found[-1]) if found else None


def load_last_rehearsal(asked: Study, store: Store) -> tuple[Study, Store]:
    """A study's last rehearsal.

    Raises:
        StudyError: there is none.
    """
    found = newest_rehearsal_store(store)
    if found is None:
        raise StudyError(f"{store.root}: no rehearsal beside it; launch with --rehearse")
    return rehearsal_of(asked), found
