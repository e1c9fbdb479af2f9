"""A state as it is now, copied to the host, so that training can go on while it is written.

    copy = OnHost(state)         # returns at once where tensors are on a GPU
    copy.whole()                 # waits for the copies

Copies from a GPU go into pinned memory behind the work that is queued there, and before what comes
after: the step that follows cannot change them.
"""

import copy
from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor


class HostCopy:
    """A nested state of dicts, lists, tuples, tensors and plain values."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._devices: set[torch.device] = set()
        self._state = self._copied(state)
        self._events = [_event(device) for device in self._devices]

    def whole(self) -> dict[str, Any]:
        """The state, once all of it has arrived."""
        for event in self._events:
            event.synchronize()
        state: dict[str, Any] = self._state
        return state

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value.detach())
        if isinstance(value, MutableMapping):
            same = copy.copy(value)  # state dicts have attributes of their own
            for key, item in value.items():
                same[key] = self._copied(item)
            return same
        if isinstance(value, list | tuple):
            return type(value)(self._copied(item) for item in value)
        return value

    def _tensor(self, value: Tensor) -> Tensor:
        if value.device.type != "cuda":
            return value.clone()
        self._devices.add(value.device)
        there = torch.empty_like(value, device="cpu", pin_memory=True)
        return there.copy_(value, non_blocking=True)


def _event(device: torch.device) -> torch.cuda.Event:
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event
