"""Remember the signals that Slurm sends to a job."""

import signal
from dataclasses import dataclass
from types import FrameType


@dataclass
class Signals:
    """Signals received so far; the handlers only set flags."""

    term: bool = False  # SIGTERM: preempted or cancelled
    usr2: bool = False  # SIGUSR2: the time limit is near

    def install(self) -> None:
        """Handle SIGTERM and SIGUSR2 from now on."""
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGUSR2, self._handle)

    @property
    def stop(self) -> bool:
        """Whether the worker has to stop."""
        return self.term or self.usr2

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.usr2 |= number == signal.SIGUSR2
        self.term |= number == signal.SIGTERM
