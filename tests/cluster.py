"""A real Slurm on this machine, in one folder: nodes that are processes, up in a second.

    eval "$(python -m tests.cluster start /tmp/cluster)"  # sets SLURM_CONF
    python -m tests.cluster stop /tmp/cluster

Each node is a `slurmd -N n1`, `-N n2`, ... with a port of its own, beside one slurmctld and one
munged; with accounting also slurmdbd and mariadbd. Needs no root, no container, no entry in
/etc/hosts; what the tests start ends with them, even if they are killed. Seen on Slurm 22.05.
"""

import argparse
import contextlib
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")
OF_SLURM = ("SLURM", "SBATCH_", "SALLOC_", "SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_")  # variables
FOR_ACCOUNTING = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db", "mariadb")
_SECONDS = 30  # for a daemon to come up
_MARK = "XFER_CLUSTER"  # in the environment of every daemon and of what slurmd starts
_NODE = "XFER_CLUSTER_NODE"
# As it was at first: a test may have put a false sbatch in front. Debian keeps daemons in sbin.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_FOLDERS = ("dev", "log", "munge", "mysql", "run", "spool", "state")
_FILES = ("gres.conf", "my.cnf", "slurm.conf", "slurmdbd.conf")

# Quick for tests; `settings` of Cluster.start replaces any of them.
_DEFAULTS = {
    "AuthType": "auth/munge",
    "CredType": "cred/munge",
    "ProctrackType": "proctrack/linuxproc",
    "TaskPlugin": "task/none",
    "JobAcctGatherType": "jobacct_gather/linux",
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_Core",  # CR_Core_Memory also shares out memory
    "SchedulerParameters": "sched_interval=1,bf_interval=1,batch_sched_delay=0",
    "PreemptType": "preempt/partition_prio",
    "PreemptMode": "REQUEUE",
    "JobRequeue": "1",
    "KillWait": "5",
    "SlurmdTimeout": "45",  # a busy machine answers late
    "ReturnToService": "2",
    "SlurmdParameters": "config_overrides",  # nodes are told to have more than this machine
    "GresTypes": "gpu",
    "MpiDefault": "none",
    "MailProg": "/bin/true",
}
_PARTITIONS = {
    "gpu": "Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=10",
    "urgent": "PriorityTier=10 PreemptMode=OFF",
}


class ClusterError(RuntimeError):
    """The cluster does not start, or one of its commands failed; says why."""


def missing(accounting: bool = False) -> list[str]:
    """Programs that are not installed."""
    wanted = (*NEEDED, *(FOR_ACCOUNTING if accounting else ()))
    return [name for name in wanted if shutil.which(name, path=_PATH) is None]


@dataclass
class Cluster:
    """A running cluster; commands find it by `env`."""

    root: Path
    nodes: int
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)
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
        """
        root = (folder or Path(tempfile.mkdtemp(prefix="xfer-", dir="/tmp"))).resolve()
        _check(root)
        cluster = cls(root, nodes, _guard=_watch_over(root))
        try:
            have = dict.fromkeys(cluster.names, (cpus, gpus))
            _write_files(root, have, accounting, settings or {}, partitions or {})
            cluster._start_munge()
            if accounting:
                cluster._start_database()
                cluster.start_accounting()
                cluster._make_account()
            cluster.start_controller()
            for name in cluster.names:
                cluster.start_node(name)
            cluster._await("every node to be idle", cluster._is_idle)
        except BaseException:  # Ctrl-C too: half a cluster must not live on
            cluster.stop()
            raise
        return cluster

    # What is asked of it

    @property
    def names(self) -> list[str]:
        return [f"n{i + 1}" for i in range(self.nodes)]

    @property
    def conf(self) -> Path:
        return self.root / "slurm.conf"

    @property
    def env(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.conf)}

    def run(self, *command: str) -> str:
        """Standard output of a Slurm command, stripped.

        Raises:
            ClusterError: with what it wrote to standard error.
        """
        done = self._ask(*command)
        if done.returncode:
            raise ClusterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()

    def submit(self, command: str, *options: str) -> str:
        """A batch job of one shell command that leaves no output; its id."""
        job = self.run("sbatch", "--parsable", "-o", "/dev/null", *options, "--wrap", command)
        return job.partition(";")[0]

    def state(self, job: str) -> str:
        """As PENDING or RUNNING, also of a job that ended not long ago; "" if it is unknown."""
        done = self._ask("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T")
        if done.returncode and "Invalid job id" not in done.stderr:
            raise ClusterError(f"squeue: {done.stderr.strip()}")
        return done.stdout.split("\n")[0].strip()

    def node_state(self, name: str) -> str:
        """As idle, mixed or down; with a * while its slurmd does not answer."""
        return self.run("sinfo", "-h", "-n", name, "-o", "%T").split("\n")[0]

    def live(self) -> list[str]:
        """Ids of what is in the queue and not over."""
        return self.run("squeue", "-h", "-r", "-o", "%i").split()

    def story(self) -> str:
        """The queue, and what the daemons said last: for whom a test leaves without an answer."""
        words = [f"{name}:\n{self._last_words(name, 12)}" for name in self._daemons]
        if not self._runs("slurmctld"):
            return "\n".join(words)
        queue = self._ask("squeue", "-a", "-r", "-t", "all", "-o", "%.12i %.9T %.20r %.8N %.40j")
        return "\n".join((queue.stdout + queue.stderr, *words))

    # What befalls it

    def drain(self, *names: str) -> None:
        """No job begins on these nodes (without names: on any)."""
        self._set_nodes(names, "State=DRAIN", "Reason=test")

    def resume(self, *names: str) -> None:
        self._set_nodes(names, "State=RESUME")

    def kill_node(self, name: str) -> None:
        """As when a node loses its network: slurmd is gone, the jobs on it live on."""
        self._kill(f"slurmd.{name}")

    def crash_node(self, name: str) -> None:
        """As when a node loses power: slurmd is gone, and the jobs on it."""
        self._kill(f"slurmd.{name}")
        _end(lambda: _processes(self.root, node=name))

    def start_node(self, name: str) -> None:
        self._spawn(f"slurmd.{name}", "slurmd", "-D", "-N", name, env={_NODE: name})

    def stop_controller(self) -> None:
        """In good order: it writes down all it knows. Jobs run on, commands fail."""
        self._kill("slurmctld", signal.SIGTERM)

    def start_controller(self) -> None:
        self._spawn("slurmctld", "slurmctld", "-D")
        self._await("slurmctld to answer", lambda: self._succeeds("scontrol", "ping"))

    def restart_controller(self) -> None:
        """By kill -9, so it goes by what it wrote last.

        That is up to 5 s old as to what was submitted: such a job is lost. The start of a job may
        not be written for minutes: it is PENDING again, its processes are killed as soon as their
        node reports them, and it starts anew. For a restart without either, stop and start.
        """
        self._kill("slurmctld")
        self.start_controller()

    def has_written_down(self, since: float) -> bool:
        """Whether the controller has saved the queue since then: kill -9 loses no job of it."""
        try:
            return (self.root / "state" / "job_state").stat().st_mtime > since
        except FileNotFoundError:  # between two renames
            return False

    def stop_accounting(self) -> None:
        """By kill -9; slurmctld keeps what it has to tell."""
        self._kill("slurmdbd")

    def start_accounting(self) -> None:
        self._spawn("slurmdbd", "slurmdbd", "-D")
        self._await("slurmdbd to answer", lambda: self._succeeds("sacctmgr", "-n", "show", "qos"))

    def limit_submits(self, most: int) -> None:
        """How many jobs, or elements of arrays, this user may have in the queue.

        Root and SlurmUser are not spared: sbatch says QOSMaxSubmitJobPerUserLimit to them too. An
        array that does not fit as a whole is refused as a whole.
        """
        limit = f"MaxSubmitJobsPerUser={most}"
        self.run("sacctmgr", "-i", "modify", "qos", "normal", "set", limit)
        show = ("sacctmgr", "-nP", "show", "qos", "normal", "format=MaxSubmitPU")
        self._await("the limit", lambda: self.run(*show) == str(most))

    # Its end

    def clear(self) -> None:
        """As new: all daemons run, no job is left, every node is idle."""
        if not self._runs("slurmctld"):
            self.start_controller()
        for name in self.names:
            if not self._runs(f"slurmd.{name}"):
                self.start_node(name)
        if self.live():
            self.run("scancel", "-u", _user())
            self._await("the queue to be empty", lambda: not self.live(), seconds=60)
        daemons = {daemon.pid for daemon in self._daemons.values()}
        _end(lambda: _processes(self.root, spare=daemons))
        if not self._is_idle():
            self._ask("scontrol", "update", f"NodeName={','.join(self.names)}", "State=RESUME")
            self._await("every node to be idle", self._is_idle)

    def stop(self) -> None:
        """End every daemon and every job, and remove the folder."""
        stop(self.root)
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()
        self.leave()

    def leave(self) -> None:
        """Let it run on when this process ends; `stop(root)` ends it then."""
        if self._guard is None:
            return
        os.killpg(self._guard.pid, signal.SIGKILL)
        self._guard.communicate()
        self._guard = None

    # How it is made

    def _start_munge(self) -> None:
        folder = self.root / "munge"
        key = folder / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = [f"--{what}={folder}/{what[:-5]}" for what in ("key-file", "pid-file", "seed-file")]
        files += [f"--socket={_munge(self.root)}", f"--log-file={self.root}/log/munged.log"]
        self._spawn("munged", "munged", "--foreground", "--force", *files)

    def _start_database(self) -> None:
        options = f"--defaults-file={self.root}/my.cnf"
        self.run("mariadb-install-db", options, "--auth-root-authentication-method=normal")
        self._spawn("mariadbd", "mariadbd", options)
        create = ("mariadb", options, "-e", "create database slurm_acct_db")
        self._await("mariadbd to answer", lambda: self._succeeds(*create))

    def _make_account(self) -> None:
        """Where limits are enforced, a user without an account may submit nothing. Root has one."""
        add = ("sacctmgr", "-i", "add")
        self.run(*add, "cluster", "xfer")
        if _user() != "root":
            self.run(*add, "user", _user(), "Account=root")

    def _spawn(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> None:
        """A daemon that leads a session of its own: Ctrl-C does not reach it."""
        program = shutil.which(command[0], path=_PATH)
        assert program is not None, "missing() was asked before"
        with open(self.root / f"log/{name}.out", "ab") as out:
            self._daemons[name] = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.root,
                env={**self._environment(), _MARK: str(self.root), **(env or {})},
                start_new_session=True,
            )  # fmt: skip

    def _kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        daemon = self._daemons.pop(name)
        daemon.send_signal(number)
        daemon.wait(_SECONDS)

    def _runs(self, name: str) -> bool:
        return name in self._daemons and self._daemons[name].poll() is None

    def _ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._environment(), capture_output=True, text=True, timeout=60,
            errors="replace",  # a job's name may hold anything
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        """Without what a surrounding job of another Slurm would say."""
        outer = {name: os.environ[name] for name in os.environ if not name.startswith(OF_SLURM)}
        return {**outer, **self.env, "PATH": _PATH}

    def _succeeds(self, *command: str) -> bool:
        return self._ask(*command).returncode == 0

    def _node_states(self) -> list[str]:
        shown = self._ask("sinfo", "-h", "-N", "-o", "%N %T").stdout
        return [line.split()[1] for line in sorted(set(shown.splitlines()))]

    def _is_idle(self) -> bool:
        return self._node_states() == ["idle"] * self.nodes

    def _set_nodes(self, names: Sequence[str], *settings: str) -> None:
        self.run("scontrol", "update", f"NodeName={','.join(names or self.names)}", *settings)

    def _await(self, what: str, ready: Callable[[], bool], seconds: float = _SECONDS) -> None:
        """Return when `ready`; say what the daemons said if that does not come."""
        end = time.monotonic() + seconds
        while not ready():
            for name, daemon in self._daemons.items():
                if daemon.poll() is not None:
                    raise ClusterError(
                        f"{name} has ended while we waited for {what}:\n{self._last_words(name)}"
                    )
            if time.monotonic() > end:
                said = "\n".join(f"{name}:\n{self._last_words(name)}" for name in self._daemons)
                raise ClusterError(f"waited {seconds:.0f} s for {what}, in vain\n{said}")
            time.sleep(0.05)  # daemons tell nobody when they are ready

    def _last_words(self, name: str, lines: int = 5) -> str:
        """The last lines that a daemon wrote, to its log or before it had one."""
        files = [self.root / f"log/{name}.{kind}" for kind in ("log", "out")]
        texts = [file.read_text(errors="replace") for file in files if file.exists()]
        return "\n".join(next((text for text in texts if text), "(nothing)").splitlines()[-lines:])


def stop(root: Path) -> None:
    """End every process of the cluster in a folder, whoever started it, and remove its files."""
    _end(lambda: _processes(root))
    for name in _FOLDERS:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in _FILES:
        (root / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the user's own files stay
        root.rmdir()


def _check(root: Path) -> None:
    if re.fullmatch(r"[\w./+-]{1,80}", str(root)) is None:
        raise ClusterError(
            f"{root}: Slurm needs a path of letters, digits and ._+-/, at most 80 characters long"
        )
    if _processes(root):
        raise ClusterError(f"{root}: a cluster runs there already; stop it first")
    if root.exists() and any(root.iterdir()):
        raise ClusterError(f"{root}: is not empty")


# What the daemons read


def _write_files(
    root: Path,
    nodes: Mapping[str, tuple[int, int]],  # CPUs and GPUs of each
    accounting: bool,
    settings: Mapping[str, str],
    partitions: Mapping[str, str],
) -> None:
    for name in (*_FOLDERS, *(f"spool/{node}" for node in nodes)):
        (root / name).mkdir(parents=True, exist_ok=True)
    ports = _Ports.free(len(nodes))
    conf = _settings(root, ports, accounting, settings)
    gres = ""
    for (name, (cpus, gpus)), port in zip(nodes.items(), ports.nodes, strict=True):
        conf += _node(name, port, cpus, gpus)
        gres += _gpus(root, name, gpus)
    for name, options in {**_PARTITIONS, **partitions}.items():
        conf += _partition(name, options)
    (root / "slurm.conf").write_text(conf)
    (root / "gres.conf").write_text(gres)
    if accounting:
        (root / "my.cnf").write_text(_database(root, ports.mariadbd))
        (root / "slurmdbd.conf").write_text(_slurmdbd(root, ports))
        (root / "slurmdbd.conf").chmod(0o600)  # slurmdbd takes no other


def _settings(root: Path, ports: "_Ports", accounting: bool, own: Mapping[str, str]) -> str:
    settings = {
        "ClusterName": "xfer",
        "SlurmctldHost": f"{socket.gethostname()}(127.0.0.1)",
        "SlurmctldPort": str(ports.slurmctld),
        "SlurmUser": _user(),
        "SlurmdUser": _user(),
        "StateSaveLocation": f"{root}/state",
        "SlurmdSpoolDir": f"{root}/spool/%n",
        "SlurmctldPidFile": f"{root}/run/slurmctld.pid",
        "SlurmdPidFile": f"{root}/run/slurmd.%n.pid",
        "SlurmctldLogFile": f"{root}/log/slurmctld.log",
        "SlurmdLogFile": f"{root}/log/slurmd.%n.log",
        **_DEFAULTS,
    }
    if accounting:
        settings |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": str(ports.slurmdbd),
            # Without it each command asks the munge of this machine, and waits 10 s for it.
            "AccountingStoragePass": str(_munge(root)),
            "AccountingStorageEnforce": "limits,qos",
        }
    # A requeued job is held for cred_expire, which is 120 s if not said otherwise.
    auth = f"socket={_munge(root)},{own.get('AuthInfo', 'cred_expire=5')}"
    return "".join(f"{k}={v}\n" for k, v in {**settings, **own, "AuthInfo": auth}.items())


def _node(name: str, port: int, cpus: int, gpus: int) -> str:
    gres = f" Gres=gpu:{gpus}" if gpus else ""
    return (
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} "
        f"CPUs={cpus} RealMemory=16000{gres}\n"
    )


def _gpus(root: Path, node: str, count: int) -> str:
    """A line of gres.conf; a node whose GPUs have no device files comes up invalid."""
    files = [root / f"dev/{node}.gpu{i}" for i in range(count)]
    for file in files:
        file.symlink_to("/dev/null")
    return f"NodeName={node} Name=gpu File={','.join(map(str, files))}\n" if files else ""


def _partition(name: str, options: str) -> str:
    return f"PartitionName={name} Nodes=ALL State=UP {options}\n"


def _database(root: Path, port: int) -> str:
    return f"""\
[mysqld]
datadir={root}/mysql
socket={root}/run/mysql
port={port}
bind-address=127.0.0.1
user={_user()}
skip-grant-tables
innodb-buffer-pool-size=32M
innodb-flush-log-at-trx-commit=0
[client]
socket={root}/run/mysql
"""


def _slurmdbd(root: Path, ports: "_Ports") -> str:
    return f"""\
AuthType=auth/munge
AuthInfo=socket={_munge(root)}
SlurmUser={_user()}
DbdHost=localhost
DbdPort={ports.slurmdbd}
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports.mariadbd}
StorageUser={_user()}
StorageLoc=slurm_acct_db
LogFile={root}/log/slurmdbd.log
PidFile={root}/run/slurmdbd.pid
"""


def _munge(root: Path) -> Path:
    """The socket."""
    return root / "munge/socket"


@dataclass(frozen=True)
class _Ports:
    slurmctld: int
    slurmdbd: int
    mariadbd: int
    nodes: tuple[int, ...]

    @classmethod
    def free(cls, nodes: int) -> "_Ports":
        """Below those of outgoing connections, so that none of these takes one before us."""
        found: list[int] = []
        with contextlib.ExitStack() as held:
            while len(found) < nodes + 3:
                one = held.enter_context(socket.socket())
                port = random.SystemRandom().randrange(20000, 32000)
                with contextlib.suppress(OSError):
                    one.bind(("", port))
                    found.append(port)
        slurmctld, slurmdbd, mariadbd, *others = found
        return cls(slurmctld, slurmdbd, mariadbd, tuple(others))


# Processes


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    session: int
    environment: frozenset[str]


def _everything() -> list[_Process]:
    """All processes whose environment we may read."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            _, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            found.append(
                _Process(int(folder.name), int(parent), int(session), frozenset(environment))
            )
    return found


def _processes(root: Path, node: str = "", spare: Collection[int] = ()) -> set[int]:
    """Daemons of a cluster, slurmstepd and jobs; all, or those of a node; not the sessions `spare`.

    Found by their environment, not by the ids that were once written down: a job has left its
    daemon's session, and an id may be another's by now.
    """
    everything = _everything()
    daemon = {f"{_MARK}={root}", *([f"{_NODE}={node}"] if node else [])}
    sessions = {p.session for p in everything if daemon <= p.environment} - set(spare)
    found = {p.pid for p in everything if p.session in sessions or _is_job(p, root, node)}
    while more := {p.pid for p in everything if p.parent in found} - found:
        found |= more
    own = os.getpid()
    parents = {p.pid: p.parent for p in everything}
    while own in parents:
        found.discard(own)
        own = parents[own]
    return found


def _is_job(process: _Process, root: Path, node: str) -> bool:
    """A shell of `salloc` is none: it runs where the user is."""
    if f"SLURM_CONF={root}/slurm.conf" not in process.environment:
        return False
    return any(
        line == f"SLURMD_NODENAME={node}" if node else line.startswith("SLURMD_NODENAME=")
        for line in process.environment
    )


def _end(find: Callable[[], set[int]]) -> None:
    """Kill what is found until nothing is: some may be starting others meanwhile."""
    end = time.monotonic() + _SECONDS
    while pids := find():
        if time.monotonic() > end:
            raise ClusterError(f"processes {sorted(pids)} do not end by kill -9")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)  # they are not our children: there is no end to wait for


def _watch_over(root: Path) -> subprocess.Popen[bytes]:
    """A process that stops the cluster when this one ends, in whatever way: its input ends then."""
    stop_it = [sys.executable, "-I", str(Path(__file__).resolve()), "stop", str(root)]
    return subprocess.Popen(
        ["sh", "-c", 'cat; exec "$@"', "guard", *stop_it],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        start_new_session=True,
    )  # fmt: skip


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name  # not getuser(), which believes the environment


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description="A real Slurm on this machine, to try things on.",
        epilog="example:\n"
        '  eval "$(python -m tests.cluster start /tmp/cluster)"\n'
        "  sinfo\n"
        "  python -m tests.cluster stop /tmp/cluster\n\n"
        "Nodes n1, n2, ... have 16 CPUs and 4 GPUs each as far as Slurm knows; jobs share what is\n"
        "there. Partitions: gpu, and urgent, whose jobs preempt those of gpu.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="start|stop")
    start = verbs.add_parser("start", help="start one; prints what to export")
    start.add_argument("folder", type=Path, help="new or empty, with a short path")
    start.add_argument("--nodes", type=int, default=4, metavar="N", help="4 if not given")
    start.add_argument("--accounting", action="store_true", help="with slurmdbd: sacct, limits")
    start.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a line of slurm.conf"
    )
    verbs.add_parser("stop", help="end it and its jobs").add_argument("folder", type=Path)
    args = parser.parse_args(argv)
    try:
        if args.verb == "stop":
            stop(args.folder.resolve())
            return
        if absent := missing(args.accounting):
            raise ClusterError(f"not installed: {', '.join(absent)}; run: make slurm")
        settings = dict(line.split("=", 1) for line in args.set)
        cluster = Cluster.start(args.folder, args.nodes, args.accounting, settings)
    except ClusterError as error:
        sys.exit(str(error))
    cluster.leave()
    print(f"export SLURM_CONF={cluster.conf}")


if __name__ == "__main__":
    main()
