"""Worker processes on this machine: one that is kept and given pack after pack, or a group for one.

worker = start(["--store", "runs", "--study", "demo"], log, "17-1", size=1, gpus=[], kept=True)
worker.listen(print)         # its events, and None at its end
worker.give(pack, "c0ffee12ab34/0")
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from hpc_xfer.plan import Pack

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
