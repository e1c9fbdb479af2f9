"""Find host waits: inside the block, an operation that waits for the GPU raises.

with no_wait():
    stepper.step(batch, number)
"""

import contextlib
import warnings
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def no_wait() -> Iterator[None]:
    """Let torch raise where the host waits for the GPU; the mode of before is set at the end."""
    before = torch.cuda.get_sync_debug_mode()
    _set("error")
    try:
        yield
    finally:
        _set(before)


def _set(mode: int | str) -> None:
    """Set the mode; torch warns that it is a prototype, and warnings are errors here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype", UserWarning)
        torch.cuda.set_sync_debug_mode(mode)
