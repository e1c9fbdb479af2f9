"""Watch workers: end one that hangs, pass on the signals that Slurm sends to a job."""

import queue
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from hpc_xfer.config.site import Site
from hpc_xfer.execution.worker_process import WorkerProcess, say
from hpc_xfer.store.store import Store
from hpc_xfer.system.worker_events import WorkerEvent

_TICK_SECONDS = 0.5
_TERM_GRACE = 60  # seconds after SIGTERM; Slurm's KillWait is usually less
_SUSPENDED_SECONDS = 5  # between two looks, which come every half second: Slurm suspended the job


def hang_message(site: Site) -> str:
    """Say why a worker was aborted."""
    return f"no sign of life for {site.slurm.hang_minutes:g} min; the worker was killed"


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
        """Tell whether the worker has to stop."""
        return self.term or self.usr2

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.usr2 |= number == signal.SIGUSR2
        self.term |= number == signal.SIGTERM


class HangGuard:
    """Aborts a worker that shows no sign of life: neither an event nor a heartbeat."""

    def __init__(
        self,
        worker: WorkerProcess,
        store: Store,
        site: Site,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker, self.store, self.clock = worker, store, clock
        self._seconds = 60 * site.slurm.hang_minutes
        self._last_sign = self._last_look = clock()
        self._beat: float | None = None  # time of the last heartbeat, by the file server's clock

    def sign(self) -> None:
        """Note a sign of life."""
        self._last_sign = self.clock()

    def notice_pause(self) -> None:
        """Forgive the time in which we were suspended ourselves, the worker with us."""
        now = self.clock()
        if now - self._last_look > _SUSPENDED_SECONDS:
            self._last_sign = now
        self._last_look = now

    def look(self) -> bool:
        """Abort the worker if it hangs; call it until it has ended. True where it hangs."""
        hangs = self.worker.hung or self._seconds_without_sign() > self._seconds
        if hangs:
            self.worker.abort()
        return hangs

    def _seconds_without_sign(self) -> float:
        """Return the seconds since the last event, or since the heartbeat was seen to change.

        The heartbeat is dated by the file server, whose clock may differ from ours by an hour.
        """
        beat = self._date_of_heartbeat()
        if beat != self._beat:
            self._beat = beat
            self.sign()
        return self.clock() - self._last_sign

    def _date_of_heartbeat(self) -> float | None:
        if self.worker.current is None:
            return self._beat
        try:
            return self.store.run(self.worker.current).progress.stat().st_mtime
        except OSError:
            return None


class WorkerWatch:
    """Passes signals on to a worker; ends it where it hangs or does not stop in time."""

    def __init__(
        self,
        worker: WorkerProcess,
        store: Store,
        site: Site,
        signals: Signals,
        finds_hangs: bool = True,
        clock: Callable[[], float] = time.monotonic,
        on_event: Callable[[WorkerEvent], None] = lambda event: None,
    ) -> None:
        """
        Args:
            on_event: called with each event of the worker, from the thread of `until_end`.
        """
        self.worker, self.site = worker, site.slurm
        self.signals, self.finds_hangs, self.clock = signals, finds_hangs, clock
        self._on_event = on_event
        self._guard = HangGuard(worker, store, site, clock)
        self._stop_sent: float | None = None
        self._is_kill_told = False

    def until_end(self) -> None:
        """Return when the worker has ended and all its events are taken in."""
        events: queue.Queue[WorkerEvent | None] = queue.Queue()
        self.worker.listen(events.put, on_line=say)
        while True:
            try:
                event = events.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                self.look()
                continue
            if event is None:
                return
            self._guard.sign()
            self.worker.note(event)
            self._on_event(event)
            self.look()

    def look(self) -> None:
        """Do what signals and time demand."""
        if not self.worker.is_running:
            return  # it has ended; its last lines are still to come
        now = self.clock()
        self._guard.notice_pause()
        if self.signals.stop and self._stop_sent is None:
            self._stop_sent = now
            why = "SIGUSR2, time is up" if self.signals.usr2 else "SIGTERM"
            say(f"told to stop ({why}): the worker saves a checkpoint")
            self.worker.signal(signal.SIGTERM)
        if self._stop_sent is not None and now - self._stop_sent > self._grace():
            if not self._is_kill_told:  # it may take a while to die, waiting for a disk
                say("the worker did not stop in time; it is killed")
            self._is_kill_told = True
            self.worker.signal(signal.SIGKILL)
        elif self.finds_hangs:
            self._guard.look()

    def _grace(self) -> float:
        if self.signals.term:
            return _TERM_GRACE
        return 0.6 * self.site.signal_seconds  # Slurm may be late, and the rest takes time
