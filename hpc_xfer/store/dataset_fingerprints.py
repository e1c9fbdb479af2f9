"""Keep the first fingerprint of each data set that a store has seen: results must compare.

    check_unchanged(store, "pets", data.fingerprint)

A data set that changes in the middle of a study would give accuracies that look comparable and are
not. So the first fingerprint is kept, and another one is refused until a user accepts it.
"""

import json
import shlex
import time
from typing import Any

from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.system import atomic_files

SCHEMA = 1
_SHORT = 12  # digits in a message


def check_unchanged(store: StoreDir, name: str, fingerprint: str) -> None:
    """Compare a data set with what this store first saw under its name; the first call keeps it.

    Raises:
        DataError: it has changed.
        StoreError: the fingerprint cannot be kept or read.
    """
    path = store.dataset_fingerprint(name)
    content = _content(name, fingerprint, earlier=[])
    if not path.exists() and atomic_files.create_exclusively(path, _bytes(content)):
        return
    known = _read(store, name)["fingerprint"]
    if known != fingerprint:
        raise DataError(
            f"data set {name!r} has changed: it was {known[:_SHORT]} and is "
            f"{fingerprint[:_SHORT]}; restore it, give the new one another name, or run "
            f"`python -m hpc_xfer.datasets check {shlex.quote(name)} --accept "
            f"{shlex.quote(str(store.root))}`"
        )


def accept(store: StoreDir, name: str, fingerprint: str) -> str | None:
    """Keep a new fingerprint; return the one before, None where there was none or the same."""
    path = store.dataset_fingerprint(name)
    content = _content(name, fingerprint, earlier=[])
    if not path.exists() and atomic_files.create_exclusively(path, _bytes(content)):
        return None
    known = _read(store, name)
    before = str(known["fingerprint"])
    if before == fingerprint:
        return None
    earlier = [*known.get("earlier", []), {"fingerprint": before, "seen": known.get("seen")}]
    atomic_files.write_bytes(path, _bytes(_content(name, fingerprint, earlier)))
    return before


def _read(store: StoreDir, name: str) -> dict[str, Any]:
    path = store.dataset_fingerprint(name)
    content = atomic_files.read_json(path)
    is_known = isinstance(content, dict) and content.get("schema") == SCHEMA
    if not is_known or not isinstance(content.get("fingerprint"), str):
        raise StoreError(
            f"{path}: is damaged or of another version; remove it if data set {name!r} has not "
            "changed"
        )
    return dict(content)


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
