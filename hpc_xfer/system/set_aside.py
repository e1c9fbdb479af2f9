"""Keep what was found in a store and not used, so that a command can tell it once at its end.

    set_aside.note(path, "is not a ledger line")
    for sentence in set_aside.sentences(): ...

One odd file stops nothing else: a reader notes it here and goes on as if it were absent.
"""

import threading
from pathlib import Path

_NAMED = 5  # files in the sentences
_MOST = 10_000  # notes that are kept
_lock = threading.Lock()
_found: dict[str, str] = {}


def note(path: Path | str, why: str) -> None:
    """Note a file that is not used; the first reason counts.

    Args:
        why: goes on after the path: "is larger than 64 MB".
    """
    with _lock:
        if len(_found) < _MOST:
            _found.setdefault(str(path), why)


def take() -> dict[str, str]:
    """Return what was noted, path -> reason, and forget it."""
    with _lock:
        found = dict(_found)
        _found.clear()
    return found


def news(known: set[str]) -> list[str]:
    """Tell what was noted and is not among the `known` files, which then are; forget it."""
    found = {path: why for path, why in take().items() if path not in known}
    known |= found.keys()
    return _told(found)


def sentences() -> list[str]:
    """Tell what was noted, and forget it: the first files by name, then how many more."""
    return _told(take())


def _told(notes: dict[str, str]) -> list[str]:
    found = sorted(notes.items())
    lines = [f"{path}: {why}; set aside, not used" for path, why in found[:_NAMED]]
    if more := len(found) - _NAMED:
        lines += [f"... and {more:,} more files set aside"] if more > 0 else []
    return lines
