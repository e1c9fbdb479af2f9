"""Start, watch and kill the daemons of a cluster, and ask them with Slurm's commands."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.processes import MARK

OF_SLURM = ("SLURM", "SBATCH_", "SALLOC_", "SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_")  # variables
# As it was at first: a test may have put a false sbatch in front. Debian keeps daemons in sbin.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_SECONDS = 30  # for a daemon to come up


def missing(programs: tuple[str, ...]) -> list[str]:
    """Return those that are not installed."""
    return [name for name in programs if shutil.which(name, path=_PATH) is None]


class Daemons:
    """The daemons of one cluster by name: munged, slurmctld, slurmd.n1, ..."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> None:
        """Start a daemon that leads a session of its own: Ctrl-C does not reach it."""
        program = shutil.which(command[0], path=_PATH)
        assert program is not None, "missing() was called before"
        with open(self.root / f"log/{name}.out", "ab") as out:
            self._running[name] = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.root,
                env={**self._environment(), MARK: str(self.root), **(env or {})},
                start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        daemon = self._running.pop(name)
        daemon.send_signal(number)
        daemon.wait(_SECONDS)

    def hang_up(self, name: str) -> None:
        """Let a daemon read its files again."""
        self._running[name].send_signal(signal.SIGHUP)

    def runs(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._environment(), capture_output=True, text=True, timeout=60,
            errors="replace",  # a job's name may hold anything
        )  # fmt: skip

    def run(self, *command: str) -> str:
        """Standard output of a command, stripped.

        Raises:
            ClusterError: with what it wrote to standard error.
        """
        done = self.ask(*command)
        if done.returncode:
            raise ClusterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()

    def await_answer(self, name: str, *command: str) -> None:
        """Repeat a command until it succeeds."""
        self.wait_until(f"{name} to answer", lambda: self.succeeds(*command))

    def _environment(self) -> dict[str, str]:
        """The environment without the variables of a surrounding job of another Slurm."""
        outer = {name: os.environ[name] for name in os.environ if not name.startswith(OF_SLURM)}
        return {**outer, "SLURM_CONF": str(self.root / "slurm.conf"), "PATH": _PATH}

    def succeeds(self, *command: str) -> bool:
        return self.ask(*command).returncode == 0

    def pids(self) -> set[int]:
        return {daemon.pid for daemon in self._running.values()}

    def wait(self) -> None:
        """Return when all have ended."""
        for daemon in self._running.values():
            daemon.wait()
        self._running.clear()

    def last_words(self, lines: int = 5) -> str:
        """Return what each wrote last."""
        return "\n".join(f"{name}:\n{self._last_words(name, lines)}" for name in self._running)

    def wait_until(self, what: str, ready: Callable[[], bool], seconds: float = _SECONDS) -> None:
        """Return when `ready` is true.

        Raises:
            ClusterError: a daemon ended, or it took too long; with what the daemons wrote last.
        """
        end = time.monotonic() + seconds
        while not ready():
            for name, daemon in self._running.items():
                if daemon.poll() is not None:
                    raise ClusterError(
                        f"{name} has ended while we waited for {what}:\n{self._last_words(name)}"
                    )
            if time.monotonic() > end:
                raise ClusterError(
                    f"waited {seconds:.0f} s for {what}, in vain\n{self.last_words()}"
                )
            time.sleep(0.05)  # daemons tell nobody when they are ready

    def _last_words(self, name: str, lines: int = 5) -> str:
        """Return the last lines that a daemon wrote, to its log or before it had one."""
        files = [self.root / f"log/{name}.{kind}" for kind in ("log", "out")]
        texts = [file.read_text(errors="replace") for file in files if file.exists()]
        return "\n".join(next((text for text in texts if text), "(nothing)").splitlines()[-lines:])
