"""A running Slurm: start it, ask it, break it, end it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import config_files, daemons, mounts, processes, services
from tests.cluster.daemons import Daemons
from tests.cluster.errors import ClusterError

NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")
FOR_ACCOUNTING = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db", "mariadb")
_ROOT = Path(__file__).parent.parent.parent


def missing(accounting: bool = False) -> list[str]:
    """Return the programs that are not installed."""
    wanted = (*NEEDED, *(FOR_ACCOUNTING if accounting else ()))
    return daemons.missing(wanted)


@dataclass
class Cluster:
    """A running cluster; commands find it by `env`."""

    root: Path
    nodes: int
    daemons: Daemons
    name: str = "xfer"
    mounts: Mapping[Path, Path] = field(default_factory=dict)
    _guard: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def start(
        cls,
        folder: Path | None = None,
        nodes: int = 4,
        accounting: bool = False,
        settings: Mapping[str, str] | None = None,
        partitions: Mapping[str, str] | None = None,
        cpus: int = 16,
        gpus: int = 4,
        name: str = "xfer",
        beside: "Cluster | None" = None,
        mounts: Mapping[Path, Path] | None = None,
    ) -> "Cluster":
        """Start all daemons and wait until every node is idle.

        Args:
            folder: new or empty. Its path is short, as a socket's name has at most 107 characters.
                Without it, one in /tmp.
            accounting: with slurmdbd and an account for this user; limits are enforced.
            settings: lines of slurm.conf, instead of ours or added. `AuthInfo` keeps its socket;
                {"AuthInfo": "cred_expire=120"} holds requeued jobs as long as Slurm's default.
            partitions: options by name; `gpu` and `urgent` replace ours, others are added.
            cpus: of a node, whatever this machine has, so that several jobs share one.
            name: by which `-M` finds it, where there is accounting.
            beside: a cluster with accounting, whose slurmdbd and munge this one uses: each takes
                commands for the other with `-M`. It must end after this one.
            mounts: folders that nodes see at a path where the login node sees its own; needs
                `mounts.are_allowed()`.
        """
        if beside is not None and not beside.daemons.runs("slurmdbd"):
            raise ClusterError(f"{beside.root}: runs without accounting, so nothing can be beside")
        root = (folder or Path(tempfile.mkdtemp(prefix="xfer-", dir="/tmp"))).resolve()
        _check(root)
        cluster = cls(root, nodes, Daemons(root), name, mounts or {}, _guard=_watch_over(root))
        accounting = accounting or beside is not None
        try:
            have = dict.fromkeys(cluster.names, (cpus, gpus))
            shared = beside.root if beside else root
            config_files.write_files(
                root, name, shared, have, accounting, settings or {}, partitions or {}
            )
            if beside is None:
                services.start_munge(root, cluster.daemons)
                if accounting:
                    services.start_database(root, cluster.daemons)
                    services.start_slurmdbd(cluster.daemons)
            if accounting:
                services.make_account(name, cluster.daemons)
            cluster.start_controller()
            for node in cluster.names:
                cluster.start_node(node)
            if accounting:
                services.await_registration(name, cluster.daemons)
            cluster.daemons.wait_until("every node to be idle", cluster._is_idle)
        except BaseException:  # Ctrl-C too: half a cluster must not live on
            cluster.stop()
            raise
        return cluster

    # Ask it

    @property
    def names(self) -> list[str]:
        return [f"n{i + 1}" for i in range(self.nodes)]

    @property
    def conf(self) -> Path:
        return conf_of(self.root)

    @property
    def env(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.conf)}

    def run(self, *command: str) -> str:
        """Standard output of a Slurm command, stripped.

        Raises:
            ClusterError: with what it wrote to standard error.
        """
        return self.daemons.run(*command)

    def submit(self, command: str, *options: str) -> str:
        """A batch job of one shell command that leaves no output; its id."""
        job = self.run("sbatch", "--parsable", "-o", "/dev/null", *options, "--wrap", command)
        return job.partition(";")[0]

    def state(self, job: str) -> str:
        """Return PENDING, RUNNING, ..., also of a job that ended lately; "" if it is unknown."""
        done = self.daemons.ask("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T")
        if done.returncode and "Invalid job id" not in done.stderr:
            raise ClusterError(f"squeue: {done.stderr.strip()}")
        return done.stdout.split("\n")[0].strip()

    def node_state(self, name: str) -> str:
        """Return idle, mixed, down, ...; with a * while its slurmd does not answer."""
        return self.run("sinfo", "-h", "-n", name, "-o", "%T").split("\n")[0]

    def live(self) -> list[str]:
        """Ids of what is in the queue and not over."""
        return self.run("squeue", "-h", "-r", "-o", "%i").split()

    def story(self) -> str:
        """Return the queue and the last output of the daemons, to be shown when a test fails."""
        if not self.daemons.runs("slurmctld"):
            return self.daemons.last_words(12)
        columns = "%.12i %.9T %.20r %.8N %.40j"
        queue = self.daemons.ask("squeue", "-a", "-r", "-t", "all", "-o", columns)
        return f"{queue.stdout}{queue.stderr}\n{self.daemons.last_words(12)}"

    # Break it

    def drain(self, *names: str) -> None:
        """No job begins on these nodes (without names: on any)."""
        self._set_nodes(names, "State=DRAIN", "Reason=test")

    def resume(self, *names: str) -> None:
        self._set_nodes(names, "State=RESUME")

    def kill_node(self, name: str) -> None:
        """Kill slurmd as if the node lost its network: the jobs on it live on."""
        self.daemons.kill(f"slurmd.{name}")

    def crash_node(self, name: str) -> None:
        """Kill slurmd and the jobs on it, as if the node lost power."""
        self.daemons.kill(f"slurmd.{name}")
        processes.end(lambda: processes.processes_of(self.root, node=name))

    def start_node(self, name: str) -> None:
        command = mounts.inside(self.mounts, "slurmd", "-D", "-N", name)
        self.daemons.spawn(f"slurmd.{name}", *command, env={processes.NODE: name})

    def stop_controller(self) -> None:
        """Stop it with a SIGTERM: it saves all that it knows. Jobs run on, commands fail."""
        self.daemons.kill("slurmctld", signal.SIGTERM)

    def start_controller(self) -> None:
        self.daemons.spawn("slurmctld", "slurmctld", "-D")
        self.daemons.await_answer("slurmctld", "scontrol", "ping")
        for node in self.names:
            if self.daemons.runs(f"slurmd.{node}"):
                self.daemons.hang_up(f"slurmd.{node}")  # it reports now, not some seconds later

    def restart_controller(self) -> None:
        """Restart it by kill -9: it knows only what it saved last.

        Jobs that were submitted in the last 5 s may be lost. The start of a job may not be saved
        for minutes: the job is PENDING again, its processes are killed as soon as their node
        reports them, and it starts again. To avoid both, stop and start the controller.
        """
        self.daemons.kill("slurmctld")
        self.start_controller()

    def reinstall_controller(self) -> None:
        """Start the controller with an empty state folder: numbers of jobs begin at 1 again.

        Its nodes kill the jobs that they run, as it does not know them.
        """
        self.stop_controller()
        shutil.rmtree(self.root / "state")
        (self.root / "state").mkdir()
        self.start_controller()
        self.daemons.wait_until("every node to be idle", self._is_idle)

    def save_state(self) -> Path:
        """Copy all that the controller knows, for `lose_what_came_after`."""
        self.stop_controller()
        copy = Path(tempfile.mkdtemp(dir=self.root / "saved"))
        shutil.copytree(self.root / "state", copy, dirs_exist_ok=True)
        self.start_controller()
        return copy

    def lose_what_came_after(self, saved: Path) -> None:
        """Kill the controller by kill -9; it starts from a state that was saved before.

        It forgets the jobs that it accepted meanwhile, and gives their numbers again.
        """
        self.daemons.kill("slurmctld")
        shutil.rmtree(self.root / "state")
        shutil.copytree(saved, self.root / "state")
        self.start_controller()

    def has_written_down(self, since: float) -> bool:
        """Return True if the controller saved the queue since then: kill -9 loses no job of it."""
        try:
            return (self.root / "state" / "job_state").stat().st_mtime > since
        except FileNotFoundError:  # between two renames
            return False

    def stop_accounting(self) -> None:
        """Kill slurmdbd by kill -9; slurmctld keeps what it has to send."""
        self.daemons.kill("slurmdbd")

    def start_accounting(self) -> None:
        services.start_slurmdbd(self.daemons)

    def limit_submits(self, most: int) -> None:
        """Limit the jobs, or elements of arrays, that this user may have in the queue.

        Root and SlurmUser are not spared: sbatch says QOSMaxSubmitJobPerUserLimit to them too. An
        array that does not fit as a whole is refused as a whole.
        """
        limit = f"MaxSubmitJobsPerUser={most}"
        self.run("sacctmgr", "-i", "modify", "qos", "normal", "set", limit)
        show = ("sacctmgr", "-nP", "show", "qos", "normal", "format=MaxSubmitPU")
        self.daemons.wait_until("the limit", lambda: self.run(*show) == str(most))

    # End it

    def clear(self) -> None:
        """Make it as new: all daemons run, no job is left, every node is idle."""
        if not self.daemons.runs("slurmctld"):
            self.start_controller()
        for name in self.names:
            if not self.daemons.runs(f"slurmd.{name}"):
                self.start_node(name)
        if self.live():
            self.run("scancel", "-u", config_files.user())
            self.daemons.wait_until("the queue to be empty", lambda: not self.live(), seconds=60)
        pids = self.daemons.pids()
        processes.end(lambda: processes.processes_of(self.root, spare=pids))
        if not self._is_idle():
            nodes = f"NodeName={','.join(self.names)}"
            self.daemons.ask("scontrol", "update", nodes, "State=RESUME")
            self.daemons.wait_until("every node to be idle", self._is_idle)

    def stop(self) -> None:
        """End every daemon and every job, and remove the folder."""
        stop(self.root)
        self.daemons.wait()
        self.leave()

    def leave(self) -> None:
        """Let it run on when this process ends; `stop(root)` ends it then."""
        if self._guard is None:
            return
        os.killpg(self._guard.pid, signal.SIGKILL)
        self._guard.communicate()
        self._guard = None

    def _node_states(self) -> list[str]:
        shown = self.daemons.ask("sinfo", "-h", "-N", "-o", "%N %T").stdout
        return [line.split()[1] for line in sorted(set(shown.splitlines()))]

    def _is_idle(self) -> bool:
        return self._node_states() == ["idle"] * self.nodes

    def _set_nodes(self, names: Sequence[str], *settings: str) -> None:
        self.run("scontrol", "update", f"NodeName={','.join(names or self.names)}", *settings)


def runs(root: Path) -> bool:
    """Tell whether a cluster runs in this folder, whoever started it."""
    return conf_of(root).is_file() and bool(processes.processes_of(root))


def conf_of(root: Path) -> Path:
    return root / "slurm.conf"


def stop(root: Path) -> None:
    """End every process of the cluster in a folder, whoever started it, and remove its files."""
    processes.end(lambda: processes.processes_of(root))
    config_files.remove_files(root)


def _check(root: Path) -> None:
    if re.fullmatch(r"[\w./+-]{1,80}", str(root)) is None:
        raise ClusterError(
            f"{root}: Slurm needs a path of letters, digits and ._+-/, at most 80 characters long"
        )
    if processes.processes_of(root):
        raise ClusterError(f"{root}: a cluster runs there already; stop it first")
    if root.exists() and any(root.iterdir()):
        raise ClusterError(f"{root}: is not empty")


def _watch_over(root: Path) -> subprocess.Popen[bytes]:
    """Start a process that stops the cluster when its input ends: with this one, in any way."""
    stop_it = [sys.executable, "-s", "-E", "-m", "tests.cluster", "stop", str(root)]
    return subprocess.Popen(
        ["sh", "-c", 'cat; exec "$@"', "guard", *stop_it],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=_ROOT,
        start_new_session=True,
    )  # fmt: skip
