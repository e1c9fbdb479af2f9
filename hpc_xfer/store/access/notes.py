"""Tell what permissions mean that are not refused: a store that is shared, folders above it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hpc_xfer.store.access.trusted import KEY
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.system import atomic_files, permissions


def shared_sentence(store: StoreDir) -> str:
    """Say what it means that the members of a store are trusted."""
    return (
        f"{store.root}: {KEY} is set: {_members_of(store.root)} can run code as each other through "
        "this store, and change results"
    )


def told_once(store: StoreDir) -> Iterator[str]:
    """Yield `shared_sentence` to the first launch that trusts the members of a store.

    Raises:
        StoreError: the store cannot be written.
    """
    if store.trusts_members and atomic_files.create_exclusively(store.told_members, b"{}\n"):
        yield shared_sentence(store)


def notes_on_folders(store: StoreDir, site_file: Path | None) -> Iterator[str]:
    """Say who may replace the store or the site file, as he may write to a folder above it."""
    for what, path in (("the store", store.root), ("the site file", site_file)):
        found = None if path is None else _replaceable(path, store.trusts_members)
        if found is not None:
            writer, folder = found
            yield (
                f"note: {writer} may write to {folder}, and so put something else in place of "
                f"{what}; move it if you do not trust that"
            )


def _replaceable(path: Path, members: bool) -> tuple[str, Path] | None:
    """Find the next folder above in which somebody else may rename: who, and where."""
    for folder in path.resolve().parents:
        try:
            writer = permissions.may_be_replaced(os.stat(folder), members)
        except OSError:
            continue  # not yet made, or not ours to look at
        if writer is not None:
            return writer, folder
    return None


def _members_of(root: Path) -> str:
    try:
        found = os.stat(root)
    except FileNotFoundError:
        return "its members"
    if found.st_mode & stat.S_IWGRP:
        return f"members of group {permissions.group_name(found.st_gid)}"
    return "all who own files in it"
