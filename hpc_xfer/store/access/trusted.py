"""Check what jobs run or trust: real folders and files of a store, to which nobody else may write.

check_store(store, "demo")
"""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from hpc_xfer.errors import StoreError
from hpc_xfer.store.paths import StoreDir, StudyDir
from hpc_xfer.system import permissions

KEY = "trust_store_members"  # of the site file
_LINK = "is a link, and nothing in a store may be one"


def check_store(store: StoreDir, study: str | None) -> None:
    """Check the folders and files that are shared by all runs, and those of a study.

    Raises:
        StoreError: one is a link, or others may write to it, and so run code under this account.
    """
    try:
        _check(store.root, os.stat(store.root), store)  # its path may have links
    except FileNotFoundError:
        return
    for path in _trusted(store, study):
        try:
            _check(path, os.lstat(path), store)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:  # in a folder that is closed to us: neither read nor run
            continue


def check_file(path: Path, store: StoreDir) -> None:
    """Check a file that this process is about to read.

    Raises:
        StoreError: as `check_store`.
    """
    try:
        _check(path, os.lstat(path), store)
    except (FileNotFoundError, NotADirectoryError):
        return


def is_trusted(path: Path, store: StoreDir) -> bool:
    """Tell whether `check_file` takes a file; an absent one it does."""
    try:
        check_file(path, store)
    except StoreError:
        return False
    return True


def check_run_folder(folder: Path, store: StoreDir) -> None:
    """Check the folder of a run and all that is in it: there are too many for `check_store`.

    Raises:
        StoreError: as `check_store`.
    """
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return
    inside = [] if stat.S_ISLNK(found.st_mode) else _inside(folder)
    for path, status in ((str(folder), found), *inside):
        if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            raise StoreError(f"{path}: {_odd(status)}; remove it")
        writer = permissions.other_writer(status, path, store.trusts_members)
        if writer is not None:
            raise StoreError(
                f"{folder}: {writer} may write to this run; remove it if you do not trust what "
                f"is in it, or {_way_out(writer, folder, store.trusts_members)}"
            )


def linked(folder: Path) -> set[str]:
    """Names of all links in a folder; without a look at each entry where the folder tells."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _trusted(store: StoreDir, study: str | None) -> Iterator[Path | str]:
    """Yield what is trusted but the root, the runs, and what is checked when it is read."""
    yield from (store.runs, store.all_studies)
    cache, first = store.cache("images").parent, store.dataset_fingerprint("").parent
    yield from (cache, *(store.cache(kind) for kind in ("images", "features")))
    for folder in (store.code, store.lock, first.parent, first, store.decoded("").parent):
        yield folder
        yield from _entries(folder)
    for name in _entries(store.all_studies):
        yield from (name, f"{name}/launches.jsonl", f"{name}/plan.json")
    if study is not None:
        yield from _of_study(store.study(study))


def _of_study(study: StudyDir) -> Iterator[Path | str]:
    yield from (study.path, study.packs, study.logs, study.doctor, study.record_cache)
    yield from (study.tensorboard, study.summary, study.figures, study.report)
    yield from (study.grid, study.plan, study.launches, study.cancelled, study.imported)
    yield from _entries(study.imported)


def _entries(folder: Path) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise StoreError(
            f"{folder}: cannot be read ({error.strerror}); let its owner give you the right to, or "
            "use a --store of your own"
        ) from error


def _inside(folder: Path | str, deeper: bool = True) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a folder, and in its folders; what vanishes meanwhile is left out."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except FileNotFoundError:
        return
    for entry in found:
        try:
            yield entry.path, entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if deeper and entry.is_dir(follow_symlinks=False):
            yield from _inside(entry.path, deeper=False)


def _check(path: Path | str, found: os.stat_result, store: StoreDir) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise StoreError(f"{path}: {_LINK}; remove it, or put there what it leads to")
    writer = permissions.other_writer(found, path, store.trusts_members)
    if writer is not None:
        raise StoreError(
            f"{path}: {writer} may write to this store, and so run code as you; "
            f"{_way_out(writer, store.root, store.trusts_members)}"
        )


def _odd(found: os.stat_result) -> str:
    return _LINK if stat.S_ISLNK(found.st_mode) else "is not a regular file"


def _way_out(writer: str, folder: Path, members: bool) -> str:
    """Say what to do: only the owner of a file may change its permissions."""
    quoted = shlex.quote(str(folder))
    if members:  # then everybody may
        return f"run: chmod -R o-w {quoted}"
    if writer.startswith("user "):
        way = f"use a --store of your own, or, to share this one, set {KEY}: true"
        return f"{way} in the site file"
    way = f"run: chmod -R go-w {quoted}"
    return way if writer == "everybody" else f"{way} (or set {KEY}: true in the site file)"
