"""Start a worker, read the events that it reports, and stop it."""

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from hpc_xfer.store.code_snapshot import CodeSnapshot, own_command
from hpc_xfer.system import machine
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.screen.plain_text import plain
from hpc_xfer.system.worker_events import SPENT_EXIT_CODE, WorkerEvent

_STDOUT = 1
_ABORT_SECONDS = 5  # after SIGABRT, for the stack of every thread; then SIGKILL
_LAST_LINES_SECONDS = 5  # after the end of a process, for lines still in its pipe
_LEADER_SECONDS = 60  # for the leader to see that another rank is gone, to save and to report


class WorkerProcess:
    """One worker: a process, or all ranks of one run on this machine; the first one leads.

    Events are those of the leader; of the others only their failures are kept.
    """

    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self.processes = processes
        self.leader = processes[0]
        self.began = time.monotonic()
        self.current: str | None = None  # run id
        self.failures: list[WorkerEvent] = []
        self.has_reported = False
        self.pack_done = False
        self.is_closed = False  # it gets no more packs
        self._aborted: float | None = None  # time of SIGABRT
        self._waiters: list[threading.Thread] = []
        self._on_event: Callable[[WorkerEvent | None], None] = lambda event: None
        self._on_line: Callable[[str], None] | None = None

    @property
    def hung(self) -> bool:
        """Tell whether it was aborted."""
        return self._aborted is not None

    @property
    def is_running(self) -> bool:
        """Tell whether the leader has not ended."""
        return self.leader.returncode is None

    @property
    def is_spent(self) -> bool:
        """Tell whether it ended because it could use its GPU no more, and said so."""
        return self.leader.returncode == SPENT_EXIT_CODE

    def listen(
        self,
        on_event: Callable[[WorkerEvent | None], None],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Call `on_event` from a thread with each event of the leader, with None at its end.

        Args:
            on_line: called with every line of standard output, events included.
        """
        self._on_event, self._on_line = on_event, on_line
        for process in self.processes:
            reader = threading.Thread(target=self._read, args=(process,), daemon=True)
            waiter = threading.Thread(target=self._await_end, args=(process, reader), daemon=True)
            reader.start()
            waiter.start()
            self._waiters.append(waiter)

    def note(self, event: WorkerEvent) -> None:
        """Update what is known of the worker."""
        self.has_reported = True
        match event.kind:
            case "started" | "interrupted":
                self.current = event.run
            case "done":
                self.current = None
            case "held":
                if self.current == event.run:  # it lost the run
                    self.current = None
            case "failed":
                self.current = None
                self.failures.append(event)
            case "pack":
                self.pack_done = True

    def send_pack(self, name: str) -> None:
        """Give the next pack, BATCH/INDEX, to a worker that reads packs from its input."""
        self.failures.clear()
        self.pack_done = False
        assert self.leader.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died; `on_event` gets None
            self.leader.stdin.write(f"{name}\n")
            self.leader.stdin.flush()

    def close(self) -> None:
        """Send no more packs: the worker ends after the current one."""
        self.is_closed = True
        for process in self.processes:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the processes that are alive."""
        for process in self.processes:
            process.send_signal(number)

    def abort(self) -> None:
        """Stop a worker that hangs; call it until it has ended.

        SIGABRT first: its log then says where it hung.
        """
        if self._aborted is None:
            self._aborted = time.monotonic()
            for process in self.processes:
                with contextlib.suppress(OSError):  # gone; else no core file: as large as memory
                    resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
            self.signal(signal.SIGABRT)
        elif time.monotonic() - self._aborted > _ABORT_SECONDS:
            self.signal(signal.SIGKILL)

    def end(self, grace: float) -> list[int]:
        """Wait for all processes and return their exit codes.

        Args:
            grace: seconds for each; then SIGKILL.
        """
        self.close()
        if _wait_or_kill(self.leader, grace) != 0:
            self.signal(signal.SIGTERM)  # the other ranks would wait for each other
        codes = [_wait_or_kill(process, grace) for process in self.processes]
        for waiter in self._waiters:
            waiter.join(grace)
        return codes

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if self._on_line is not None:
                    self._on_line(line.rstrip("\n"))
                event = WorkerEvent.parse(line)
                if event is None:  # a library's print
                    continue
                if process is self.leader:
                    self._on_event(event)
                elif event.kind == "failed":
                    self.failures.append(event)

    def _await_end(self, process: "subprocess.Popen[str]", reader: threading.Thread) -> None:
        """Report the end of the leader; end a leader that does not see that another rank died."""
        process.wait()
        # A child of the process may outlive it and hold the pipe open; but a log on a slow disk
        # also delays the last lines.
        reader.join(_LAST_LINES_SECONDS)
        if process is self.leader:
            self._on_event(None)
        elif process.returncode != 0:
            _wait_or_kill(self.leader, _LEADER_SECONDS)


def _wait_or_kill(process: "subprocess.Popen[str]", seconds: float) -> int:
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def exit_message(code: int) -> str:
    """Say how a worker ended, from the exit code of its process."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the worker ended with {how}"


def silent_message(how: str) -> str:
    """Say that the workers of a run ended twice before they reported anything.

    Args:
        how: the last one ended.
    """
    return f"two workers ended before they reported anything, so no third is started: {how}"


def worker_command(
    store: str, study: str, site: str | None, code: CodeSnapshot | None = None
) -> list[str]:
    """Return the command that starts a worker; without more arguments it reads packs from stdin.

    Args:
        code: the code to run; that of this process if not given.
    """
    command = code.command("worker") if code else own_command("worker")
    command += ["--store", store, "--study", study]
    return [*command, *(["--site", site] if site else [])]


def rank_arguments(process_rank: ProcessRank) -> list[str]:
    """Return the arguments that tell a worker its rank."""
    return [
        "--rank", str(process_rank.rank), "--world", str(process_rank.size),
        "--local-rank", str(process_rank.local_rank), "--attempt", process_rank.attempt,
    ]  # fmt: skip


def worker_environment(device: str | None = None) -> dict[str, str]:
    """Return our environment, changed for a worker.

    Args:
        device: that it is given, unless our user has set one.
    """
    # Idle OpenMP threads of one worker would spin on the cores of another. A pack says how many
    # threads torch gets in it.
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    given = {machine.DEVICE: device} if device else {}
    return {**given, **os.environ, **threads}


def start_process(
    command: Sequence[str],
    environment: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    errors: IO[str] | None = None,
    new_session: bool = False,
) -> "subprocess.Popen[str]":
    """Start one process of a worker.

    Args:
        errors: file for standard error; ours if not given.
        new_session: keep Ctrl-C away from it; whoever starts it passes the signal on.
    """
    # A library may print anything: errors="replace".
    return subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8",
        errors="replace", env=environment, start_new_session=new_session,
    )  # fmt: skip


def say(text: str) -> None:
    """Write a line to the log, as far as its disk allows: a full one must not end the supervisor.

    Past Python's buffer, which would keep what it cannot write and turn our exit code into 120.
    """
    with contextlib.suppress(OSError):
        os.write(_STDOUT, f"{plain(text, lines=True)}\n".encode(errors="replace"))
