"""A worker under watch: its process, what it tells, and whether it moves."""

import contextlib
import json
import os
import queue
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

from hpc_xfer import machine

_TICK_SECONDS = 0.5
_STDOUT = 1
_LAST_WORDS_SECONDS = 5
_ABORT_SECONDS = 5  # to write down where every thread is


class Watch:
    """One worker, from its start to its end."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = dict(os.environ)
        if not machine.gpus():
            # Idle OpenMP threads of one worker would spin on the cores of another.
            environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            encoding="utf-8", errors="replace", env=environment,
        )  # fmt: skip
        self.current: str | None = None  # run id
        self.failed: dict[str, dict[str, Any]] = {}  # run id -> what was told
        self.silent = True  # it has told nothing yet
        self.through = False  # it went through its pack
        self.aborted: float | None = None  # when it was found to hang
        self.asked: float | None = None  # when it was told to stop
        self.last_event = self.last_look = time.time()
        self._told: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def hears(self) -> bool:
        """Take in what it tells, for a moment; False once it has ended and all of it is heard."""
        try:
            event = self._told.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            if self.process.poll() is None:
                return True
            # A process that it has started may outlive it, and hold the pipe open; but a log on a
            # slow disk also delays what it said last.
            self._listener.join(_LAST_WORDS_SECONDS)
            return not self._told.empty()
        if event is None:
            self.process.wait()
            return False
        self.last_event, self.silent = time.time(), False
        run = event.get("run")
        match event.get("event"):
            case "started" | "interrupted":
                self.current = run
            case "done":
                self.current = None
            case "failed":
                self.current = None
                self.failed[str(run)] = event
            case "pack":
                self.through = True
        return True

    @property
    def hung(self) -> bool:
        return self.aborted is not None

    def abort(self) -> None:
        """End what hangs, called until it has ended: first so that its log says where it hung."""
        if self.aborted is None:
            self.aborted = time.time()
            with contextlib.suppress(OSError):  # gone; else no core file, which is as large as it
                resource.prlimit(self.process.pid, resource.RLIMIT_CORE, (0, 0))
            self.process.send_signal(signal.SIGABRT)
        elif time.time() - self.aborted > _ABORT_SECONDS:
            self.process.kill()

    def _listen(self) -> None:
        """Everything the worker says, to the log; events to the guard."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                say(line.rstrip("\n"))
                with contextlib.suppress(ValueError):  # a library's print
                    event = json.loads(line)
                    if isinstance(event, dict):
                        self._told.put(event)
        self._told.put(None)


def say(text: str) -> None:
    """Into the log, as far as its disk allows: a full one must not end the guard.

    Past Python's buffer, which would keep what it cannot write and turn our exit code into 120.
    """
    with contextlib.suppress(OSError):
        os.write(_STDOUT, f"{text}\n".encode(errors="replace"))
