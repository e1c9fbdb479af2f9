"""The launch lock: one launch at a time in a store.

with launch_lock.held(store, waiting): ...

The second of two launches waits, so that no run is submitted twice. The lock is a lease (see
leases.py). If its owner dies, it is free at once on the same host, and on another host after five
minutes without a sign of life.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from hpc_xfer.errors import StoreError
from hpc_xfer.store.ownership.leases import Lease, LeaseFolder
from hpc_xfer.store.store import Store

# The owner renews it at each submission (at most 60 s each) and between the steps before the first:
# reading the state of 40,000 runs takes seconds, on a cold file system minutes.
LEASE_SECONDS = 300
_POLL_SECONDS = 0.2  # the owner may be on another host: both see nothing but a file
_WAIT_SECONDS = 600


@contextlib.contextmanager
def held(store: Store, waiting: Callable[[dict[str, Any]], None]) -> Iterator[Lease]:
    """Hold the lock of a store.

    Args:
        waiting: called once with the content of the lock if another launch has it.

    Raises:
        StoreError: another launch, still alive, held it for ten minutes.
    """
    lease = _take(LeaseFolder(store.lock, "the lock of the store", LEASE_SECONDS), waiting)
    try:
        yield lease
    finally:
        lease.release()


def waiting_sentence(holder: dict[str, Any]) -> str:
    """Say who holds the lock, for `waiting` of `held`."""
    process, host = holder.get("pid"), holder.get("host")
    return f"another launch is in progress (process {process} on {host}); waiting"


def _take(lock: LeaseFolder, waiting: Callable[[dict[str, Any]], None]) -> Lease:
    end = time.monotonic() + _WAIT_SECONDS
    is_reported = False
    while (lease := lock.take()) is None:
        holder = lock.holder() or {}
        if not is_reported:
            waiting(holder)
            is_reported = True
        if time.monotonic() > end:
            raise StoreError(
                f"{lock.folder}: process {holder.get('pid')} on {holder.get('host')} has held the "
                f"launch lock for {_WAIT_SECONDS // 60} minutes; wait for it or end it"
            )
        time.sleep(_POLL_SECONDS)  # see above
    return lease
