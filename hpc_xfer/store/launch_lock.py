"""One launch at a time in a store: `with lock.held(store): ...`.

Two launches at the same moment wait for each other instead of submitting a run twice. It relies on
hard links alone (see leases.py), and breaks when its owner is dead: at once on the same host, after
five minutes without a sign of life on another.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from hpc_xfer.errors import StoreError
from hpc_xfer.store.leases import Lease, LeaseFolder
from hpc_xfer.store.store import Store

# The owner renews it at each submission, of which the slowest takes 60 s, and between the steps
# before the first: 40,000 runs are looked at in seconds, on a cold file system in minutes.
LEASE_SECONDS = 300
_POLL_SECONDS = 0.2  # the owner may be on another host: a file is all that both sides see
_WAIT_SECONDS = 600


@contextlib.contextmanager
def held(store: Store, waiting: Callable[[dict[str, Any]], None]) -> Iterator[Lease]:
    """Hold the store's lock; `waiting` is told once who has it, if somebody has.

    Raises:
        StoreError: somebody alive held it for ten minutes.
    """
    lease = _take(LeaseFolder(store.lock, "the lock of the store", LEASE_SECONDS), waiting)
    try:
        yield lease
    finally:
        lease.release()


def _take(lock: LeaseFolder, waiting: Callable[[dict[str, Any]], None]) -> Lease:
    end = time.monotonic() + _WAIT_SECONDS
    told = False
    while (lease := lock.take()) is None:
        holder = lock.holder() or {}
        if not told:
            waiting(holder)
            told = True
        if time.monotonic() > end:
            raise StoreError(
                f"{lock.folder}: process {holder.get('pid')} on {holder.get('host')} has been "
                f"launching for {_WAIT_SECONDS // 60} minutes; wait for it or end it"
            )
        time.sleep(_POLL_SECONDS)  # see above
    return lease
