"""Being asked to stop: a flag, set by signals or by a launcher that went away, read at steps."""

import signal
import threading
from types import FrameType


class StopSignal:
    """Handlers only set the flag; what happens next is decided between two steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def request(self) -> None:
        self._event.set()

    def on(self, *signals: signal.Signals) -> "StopSignal":
        for number in signals:
            signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._event.set()
