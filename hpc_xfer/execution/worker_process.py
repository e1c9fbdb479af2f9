"""A worker under watch: its process, what it tells, and whether it moves."""

import contextlib
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hpc_xfer.study.plan import Pack
from hpc_xfer.system import machine

_TICK_SECONDS = 0.5
_STDOUT = 1
_LAST_WORDS_SECONDS = 5
_ABORT_SECONDS = 5  # to write down where every thread is


class WorkerProcess:
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

    def poll_events(self) -> bool:
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


Event = dict[str, Any]
_PEERS_SECONDS = 60  # for rank 0 to notice that another rank is gone, and to save and tell


@dataclass
class Worker:
    """One kept process, or the processes of one pack."""

    log: Path
    attempt: str
    processes: list[subprocess.Popen[str]]
    gpus: list[str]
    kept: bool
    pack: Pack | None = None
    current: str | None = None  # run id
    failures: list[Event] = field(default_factory=list)  # of ranks of a group, as they were told
    _ears: list[threading.Thread] = field(default_factory=list)

    def give(self, pack: Pack, name: str) -> None:
        """`name` is what the store calls the pack; a group knows its own from its start."""
        self.pack = pack
        pipe = self.processes[0].stdin
        if self.kept and pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # it died; its end will be told
                pipe.write(f"{name}\n")
                pipe.flush()

    def signal(self, number: signal.Signals) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def close(self) -> None:
        """No more packs: a kept process ends after the one it is at."""
        pipe = self.processes[0].stdin
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def listen(self, tell: Callable[[Event | None], None]) -> None:
        """Tell each event of rank 0, and None when there are no more; from a thread."""
        for rank in range(1, len(self.processes)):
            ear = threading.Thread(target=self._attend, args=(rank,), daemon=True)
            self._ears.append(ear)
            ear.start()
        threading.Thread(target=self._listen, args=(tell,), daemon=True).start()

    def wait(self, grace: float) -> list[int]:
        """Exit codes; the other ranks of a broken group are not left waiting for each other.

        Args:
            grace: seconds that they get after rank 0 has ended.
        """
        first = self.processes[0].wait()
        if first != 0:
            self.signal(signal.SIGTERM)
        codes = []
        for process in self.processes:
            try:
                codes.append(process.wait(timeout=grace))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        for ear in self._ears:
            ear.join(timeout=grace)
        self.close()
        return codes

    def _listen(self, tell: Callable[[Event | None], None]) -> None:
        for event in _events(self.processes[0]):
            tell(event)
        tell(None)

    def _attend(self, rank: int) -> None:
        """Keep what another rank says of its failure; rank 0 must not wait for it for ever."""
        process = self.processes[rank]
        for event in _events(process):
            if event["event"] == "failed":
                self.failures.append(event)
        if process.wait() == 0:
            return
        try:
            self.processes[0].wait(timeout=_PEERS_SECONDS)
        except subprocess.TimeoutExpired:
            self.processes[0].kill()


def _events(process: "subprocess.Popen[str]") -> Iterator[Event]:
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(ValueError):  # a library's print; the log has what matters
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                yield event


def start(
    arguments: list[str],
    log: Path,
    attempt: str,
    size: int,
    gpus: list[str],
    pack: str | None = None,
    kept: bool = False,
) -> Worker:
    """`size` processes of hpc_xfer.worker.

    Args:
        gpus: that they see; none on a machine without.
        pack: that a group executes, as BATCH/INDEX.
    """
    environment = _environment(gpus)
    processes = []
    with open(log, "a") as errors:
        for rank in range(size):
            places = ["--rank", str(rank), "--world", str(size), "--local-rank", str(rank)]
            group = [*places, "--attempt", attempt, "--pack", pack] if pack else []
            processes.append(_spawn([*arguments, *group], environment, errors))
    return Worker(log, attempt, processes, gpus, kept)


def _environment(gpus: list[str]) -> dict[str, str]:
    if gpus:
        return {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    # Idle OpenMP threads of one worker would spin on the cores of another.
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _spawn(
    arguments: list[str], environment: Mapping[str, str], errors: IO[str]
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "hpc_xfer.worker", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
        errors="replace",  # of what a library prints
        env=environment,
        start_new_session=True,  # Ctrl-C reaches the launcher alone; it tells them
    )
