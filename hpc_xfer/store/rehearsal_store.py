"""Stores of rehearsals: they stand beside the store of the study, named after their time."""

import re
import shutil
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from hpc_xfer.errors import StudyError
from hpc_xfer.store.launched_study import (
    launched_changes,
    load_in_store,
    used_stand_ins,
    was_launched,
)
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.store import Store
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.stand_ins.stand_in_study import with_stand_ins
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import atomic_files, permissions

_REHEARSAL = re.compile(r"-rehearsal-\d{8}-\d{6}")
_FOLDER = 0o770  # as that of a store, minus the umask


class NewRehearsals:
    """Stores of the rehearsals of one launch; at its end, those that it did not use are removed.

        with NewRehearsals() as rehearsals:
            store = rehearsals.make(store)

    A dry run and a launch that is refused use none: they leave no stand-ins, and no newest
    rehearsal in which nothing was launched.
    """

    def __init__(self) -> None:
        self._made: list[Store] = []

    def __enter__(self) -> "NewRehearsals":
        return self

    def __exit__(self, *_: object) -> None:
        for store in self._made:
            if not store.all_studies.exists():  # `Store.open` makes it
                shutil.rmtree(store.root, ignore_errors=True)

    def make(self, store: Store) -> Store:
        """Make a new one, named after the time in UTC, so that the newest is the last by name.

        It is the file server's time: hosts whose clocks differ may start rehearsals. Where another
        launch has made one of this second, it is named after the next.

        Raises:
            StoreError: its folder cannot be made.
        """
        seconds = server_time(store.root)
        with atomic_files.as_store_error(store.root.parent):
            if not store.root.parent.is_dir():  # it may be a link of the user's
                atomic_files.make_folder(store.root.parent)
            while True:
                now = datetime.fromtimestamp(seconds, timezone.utc)
                path = Path(f"{store.root}-rehearsal-{now:%Y%m%d-%H%M%S}")
                with suppress(FileExistsError):
                    path.mkdir(permissions.allowed_mode(_FOLDER))
                    break
                seconds += 1
        self._made.append(Store(path, store.trusts_members))
        return self._made[-1]


def rehearsal_stores(store: Store) -> list[Path]:
    """List the stores of rehearsals beside a store, the oldest first; a link is none."""
    parent, name = store.root.parent, store.root.name
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        beside = (path for path in parent.iterdir() if path.name.startswith(f"{name}-"))
        return sorted(
            path
            for path in beside
            if _REHEARSAL.fullmatch(path.name.removeprefix(name))
            and path.is_dir()
            and not path.is_symlink()
        )
    return []


def load_last_rehearsal(study: Study, store: Store) -> tuple[Study, Store]:
    """Turn a study and its store into those of its last rehearsal, with what --set typed then.

    Raises:
        StudyError: there was no rehearsal of it.
    """
    name = rehearsal_of(study).name
    beside = (Store(path, store.trusts_members) for path in reversed(rehearsal_stores(store)))
    found = next((each for each in beside if was_launched(each, name)), None)
    if found is None:
        raise StudyError(
            f"{store.root}: no rehearsal of {study.name!r} beside it; launch with --rehearse"
        )
    typed = launched_changes(found, name)
    if typed and not study.changes:
        study = load_in_store(study.path, store, typed)
    short = rehearsal_of(study)
    return with_stand_ins(short) if used_stand_ins(found, short.name) else short, found
