"""Keep the first fingerprint of each data set that a store has seen: results must compare.

    is_kept = check_unchanged(store, "pets", data.fingerprint)
    keep_first(store, "pets", data.fingerprint)      # once its images are known to decode

A data set that changes in the middle of a study would give accuracies that look comparable and are
not. So the first fingerprint is kept, and another one is refused until a user accepts it. One that
no run can use is not kept: it will change when it is mended.
"""

import json
import shlex
import time
from pathlib import Path
from typing import Any

from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.store.documents.fingerprint import FINGERPRINT
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.system import atomic_files

SCHEMA = 1
_SHORT = 12  # digits in a message


def check_unchanged(store: StoreDir, name: str, fingerprint: str) -> bool:
    """Compare a data set with what this store keeps under its name; False where that is nothing.

    Raises:
        DataError: it has changed.
        StoreError: what is kept cannot be read.
    """
    path = store.dataset_fingerprint(name)
    if not path.exists():
        return False
    known = str(_read(path, name)["fingerprint"])
    if known != fingerprint:
        raise DataError(
            f"data set {name!r} has changed: it was {known[:_SHORT]} and is "
            f"{fingerprint[:_SHORT]}; restore it, give the new one another name, or run "
            f"{_way_out(store, name)}"
        )
    return True


def keep_first(store: StoreDir, name: str, fingerprint: str) -> None:
    """Keep the fingerprint of a data set if this store has none; else compare.

    Raises:
        DataError: as `check_unchanged`.
        StoreError: it cannot be kept or read.
    """
    if _kept(store.dataset_fingerprint(name), name, fingerprint) != fingerprint:
        check_unchanged(store, name, fingerprint)


def check_words_unchanged(store: StoreDir, name: str, words: str) -> None:
    """Compare class names and prompts with the first ones; only runs that use text need that.

    Raises:
        DataError: they have changed, for example in `classes.json` or in the site file.
        StoreError: as `keep_first`.
    """
    known = _kept(store.dataset_words(name), name, words)
    if known != words:
        raise DataError(
            f"class names or prompts of data set {name!r} have changed: they were "
            f"{known[:_SHORT]} and are {words[:_SHORT]}; restore them, give the data set another "
            f"name, or run {_way_out(store, name)}"
        )


def accept(store: StoreDir, name: str, fingerprint: str) -> str | None:
    """Keep a new fingerprint; return the one before, None where there was none or the same."""
    return _accept(store.dataset_fingerprint(name), name, fingerprint)


def accept_words(store: StoreDir, name: str, words: str) -> str | None:
    """Keep the fingerprint of new class names or prompts; return as `accept`."""
    return _accept(store.dataset_words(name), name, words)


def _way_out(store: StoreDir, name: str) -> str:
    return (
        f"`python -m hpc_xfer.datasets check {shlex.quote(name)} --accept "
        f"{shlex.quote(str(store.root))}`"
    )


def _kept(path: Path, name: str, fingerprint: str) -> str:
    """Keep a fingerprint if it is the first one; return the first one."""
    content = _content(name, fingerprint, earlier=[])
    if not path.exists() and atomic_files.create_exclusively(path, _bytes(content)):
        return fingerprint
    return str(_read(path, name)["fingerprint"])


def _accept(path: Path, name: str, fingerprint: str) -> str | None:
    content = _content(name, fingerprint, earlier=[])
    if not path.exists() and atomic_files.create_exclusively(path, _bytes(content)):
        return None
    known = _read(path, name)
    before = str(known["fingerprint"])
    if before == fingerprint:
        return None
    earlier = [*known["earlier"], {"fingerprint": before, "seen": known.get("seen")}]
    atomic_files.write_bytes(path, _bytes(_content(name, fingerprint, earlier)))
    return before


def _read(path: Path, name: str) -> dict[str, Any]:
    content = FINGERPRINT.read(path)
    if content is None or content["schema"] != SCHEMA:
        raise StoreError(
            f"{path}: is damaged or of another version; remove it if data set {name!r} has not "
            "changed"
        )
    return content


def _content(name: str, fingerprint: str, earlier: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "dataset": name,
        "fingerprint": fingerprint,
        "seen": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "earlier": earlier,
    }


def _bytes(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
