"""A request to stop, made by a signal or by a lost launcher, and looked at between steps."""

import signal
import threading
from types import FrameType


class StopSignal:
    """A flag that signal handlers set; the training loop reads it between two steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for a request at most so long; tell whether there is one."""
        return self._event.wait(seconds)

    def request(self) -> None:
        self._event.set()

    def on(self, *signals: signal.Signals) -> "StopSignal":
        """Install handlers for these signals; return self."""
        for number in signals:
            signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._event.set()
