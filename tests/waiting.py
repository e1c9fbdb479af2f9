"""Waiting for something that another process does, with an end."""

import time
from collections.abc import Callable

_SHORTEST, _LONGEST = 0.02, 1.0  # seconds between two looks
_REST = 4.0  # times as long as a look took: one that starts squeue leaves the cores to the jobs


def wait_for(condition: Callable[[], object], seconds: float = 600) -> None:
    """Return as soon as `condition` holds; fail after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        assert time.monotonic() < end, f"did not happen within {seconds:.0f} s"
        rest(time.monotonic() - began)


def rest(looked: float) -> None:
    """Sleep before the next look, after one of so many seconds."""
    time.sleep(min(max(_REST * looked, _SHORTEST), _LONGEST))
