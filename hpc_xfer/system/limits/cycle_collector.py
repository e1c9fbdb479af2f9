"""Pause Python's collector of reference cycles while a study's many objects are made.

    with cycle_collector.paused():
        ...

It walks over all of them again and again, and finds nothing: no run, record or row refers back to
what refers to it. With 40,000 runs that is a tenth of the time.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Pause it, and let it go on at the end where it was on; also usable as a decorator."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
