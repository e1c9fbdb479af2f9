"""A real, private Slurm on this machine: several slurmd, one controller, up in two seconds.

    python -m tests.cluster start /tmp/cluster --nodes 4      # prints what to export
    python -m tests.cluster stop /tmp/cluster

The tests start their own. Nodes are `slurmd -N n1`, `-N n2`, ... on one host, with a munge and
ports of their own; no name needs to resolve. Seen on Slurm 22.05.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")
FOR_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb")
_SECONDS = 30  # for a daemon to come up
_CPUS = 16  # told to Slurm for each node, whatever this machine has
_GPUS = 4

_CONF = """\
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/linux
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
PreemptType=preempt/partition_prio
"""
# Quick for tests; each may be set otherwise.
_SETTINGS = {
    "SlurmdTimeout": "10",
    "KillWait": "5",
    "PreemptMode": "REQUEUE",
    "SchedulerParameters": "sched_interval=1,bf_interval=1",
    "JobRequeue": "1",
}


def missing(accounting: bool = False) -> list[str]:
    """Programs that are not installed."""
    wanted = (*NEEDED, *(FOR_ACCOUNTING if accounting else ()))
    return [name for name in wanted if shutil.which(name, path=_path()) is None]


@dataclass
class Cluster:
    """A running cluster; `env` is what its commands need."""

    root: Path
    nodes: int
    accounting: bool = False
    daemons: dict[str, int] = field(default_factory=dict)  # name -> process id, leads its group

    @classmethod
    def start(
        cls,
        root: Path | None = None,
        nodes: int = 4,
        accounting: bool = False,
        settings: Mapping[str, str] | None = None,
        partitions: Iterable[str] = (),
    ) -> "Cluster":
        """Start all daemons and wait until every node is idle.

        Args:
            root: new or empty folder with a short path (sockets have at most 107 characters).
            settings: lines of slurm.conf that replace the defaults.
            partitions: lines `PartitionName=...` instead of `gpu` and `urgent`.
        """
        folder = root or Path(tempfile.mkdtemp(prefix="xfer-slurm-", dir="/tmp"))
        cluster = cls(folder.resolve(), nodes, accounting)
        try:
            cluster._write(dict(_SETTINGS) | dict(settings or {}), list(partitions))
            cluster._start_all()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @property
    def conf(self) -> Path:
        return self.root / "slurm.conf"

    @property
    def env(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.conf), "PATH": _path()}

    @property
    def names(self) -> list[str]:
        return [f"n{i + 1}" for i in range(self.nodes)]

    def run(self, *command: str) -> str:
        """Standard output of a Slurm command; what went wrong, as an AssertionError."""
        done = subprocess.run(
            command, env={**os.environ, **self.env}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """The state of a job, also of one that ended not long ago; empty if it is unknown."""
        done = subprocess.run(
            ["squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%T"],
            env={**os.environ, **self.env}, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.split("\n")[0].strip()

    def live(self) -> list[str]:
        """Ids of what is in the queue."""
        return self.run("squeue", "-h", "-r", "-o", "%i").split()

    def clear(self) -> None:
        """Cancel all jobs, wait for their end, and bring every node back."""
        if self.live():
            self.run("scancel", "-u", getuser())
            _wait("an empty queue", lambda: not self.live(), 60)
        for name in self.names:
            if f"slurmd.{name}" not in self.daemons:
                self.start_node(name)
        if self._node_states() != ["idle"] * self.nodes:
            nodes = ",".join(self.names)
            subprocess.run(
                ["scontrol", "update", f"NodeName={nodes}", "State=RESUME"],
                env={**os.environ, **self.env}, capture_output=True,
            )  # fmt: skip
            _wait("idle nodes", self._idle)

    def drain(self) -> None:
        """No job begins any more."""
        nodes = ",".join(self.names)
        self.run("scontrol", "update", f"NodeName={nodes}", "State=DRAIN", "Reason=test")

    def kill_node(self, name: str) -> None:
        """As when a machine loses its network: slurmd is gone, the jobs on it live on."""
        os.kill(self.daemons.pop(f"slurmd.{name}"), signal.SIGKILL)

    def start_node(self, name: str) -> None:
        self._spawn(f"slurmd.{name}", "slurmd", "-D", "-N", name)

    def restart_controller(self) -> None:
        os.kill(self.daemons.pop("slurmctld"), signal.SIGKILL)
        self._spawn("slurmctld", "slurmctld", "-D")
        _wait("slurmctld", lambda: self._ok("scontrol", "ping"))

    def stop_accounting(self) -> None:
        os.kill(self.daemons.pop("slurmdbd"), signal.SIGKILL)

    def limit_submits(self, most: int) -> None:
        """A limit of a quality of service on the jobs that a user may have in the queue."""
        self.run("sacctmgr", "-i", "modify", "qos", "normal", "set", f"MaxSubmitJobsPerUser={most}")
        _wait("the limit", lambda: f"MaxSubmitJobsPU={most}(" in self.run(
            "scontrol", "show", "assoc_mgr", "flags=qos") or str(most) in self.run(
            "sacctmgr", "-nP", "show", "qos", "normal", "format=MaxSubmitPU"))  # fmt: skip

    def stop(self) -> None:
        """End every daemon, whatever they started, and remove the folder."""
        for pid in reversed(list(self.daemons.values())):
            _signal_group(pid, signal.SIGTERM)
        end = time.monotonic() + 3
        while any(_alive(pid) for pid in self.daemons.values()) and time.monotonic() < end:
            time.sleep(0.05)
        for pid in self.daemons.values():
            _signal_group(pid, signal.SIGKILL)
        for pid in _processes_with(str(self.conf)):
            _signal(pid, signal.SIGKILL)
        self.daemons.clear()
        shutil.rmtree(self.root, ignore_errors=True)

    def _write(self, settings: Mapping[str, str], partitions: list[str]) -> None:
        for name in ("state", "log", "munge", "dev"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        control, self._dbd, self._sql, *ports = _free_ports(3 + self.nodes)
        key = self.root / "munge/key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        for i in range(_GPUS):  # a GRES without device files makes its node invalid
            (self.root / f"dev/gpu{i}").symlink_to("/dev/null")
        gres = f"Name=gpu File={self.root}/dev/gpu[0-{_GPUS - 1}]"
        (self.root / "gres.conf").write_text("".join(f"NodeName={n} {gres}\n" for n in self.names))
        user, host, root = getuser(), socket.gethostname(), self.root
        lines = [
            f"ClusterName=xfer{os.getpid()}", f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={control}", f"SlurmUser={user}", f"SlurmdUser={user}",
            # A requeued job is held for cred_expire, 120 s if not said otherwise.
            f"AuthInfo=socket={root}/munge/socket,cred_expire=5",
            f"StateSaveLocation={root}/state", f"SlurmdSpoolDir={root}/spool/%n",
            f"SlurmctldPidFile={root}/slurmctld.pid", f"SlurmdPidFile={root}/slurmd.%n.pid",
            f"SlurmctldLogFile={root}/log/slurmctld.log",
            f"SlurmdLogFile={root}/log/slurmd.%n.log",
        ]  # fmt: skip
        if self.accounting:
            lines += [
                "AccountingStorageType=accounting_storage/slurmdbd",
                "AccountingStorageHost=localhost", f"AccountingStoragePort={self._dbd}",
                f"AccountingStoragePass={root}/munge/socket",
            ]  # fmt: skip
        lines += [f"{key}={value}" for key, value in settings.items()]
        for name, port in zip(self.names, ports, strict=True):
            (root / "spool" / name).mkdir(parents=True)
            lines.append(
                f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
                f"CPUs={_CPUS} RealMemory=16000 Gres=gpu:{_GPUS}"
            )
        lines += partitions or [
            "PartitionName=gpu Nodes=ALL Default=YES State=UP PriorityTier=1 PreemptMode=REQUEUE "
            "GraceTime=10",
            "PartitionName=urgent Nodes=ALL State=UP PriorityTier=10 PreemptMode=off",
        ]
        self.conf.write_text(_CONF + "\n".join(lines) + "\n")

    def _start_all(self) -> None:
        munge = self.root / "munge"
        self._spawn(
            "munged", "munged", "-F", "--force", f"--key-file={munge}/key",
            f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--log-file={munge}/log",
            f"--seed-file={munge}/seed",
        )  # fmt: skip
        if self.accounting:
            self._start_accounting()
        self._spawn("slurmctld", "slurmctld", "-D")
        for name in self.names:
            self.start_node(name)
        _wait("the cluster", self._idle, tell=self._last_words)
        if self.accounting:
            self._make_account()

    def _start_accounting(self) -> None:
        data, user = self.root / "mysql", getuser()
        install = ["mariadb-install-db", f"--datadir={data}", f"--user={user}", "--skip-test-db",
                   "--auth-root-authentication-method=normal"]  # fmt: skip
        subprocess.run(install, check=True, capture_output=True, env={**os.environ, **self.env})
        self._spawn(
            "mariadbd", "mariadbd", "--no-defaults", f"--datadir={data}", f"--user={user}",
            f"--socket={data}/s", f"--port={self._sql}", "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=32M", "--skip-grant-tables",
        )  # fmt: skip
        create = "create database if not exists slurm_acct_db"
        _wait("mariadb", lambda: self._ok("mariadb", "-S", f"{data}/s", "-e", create))
        conf = self.root / "slurmdbd.conf"
        socket_ = f"{self.root}/munge/socket"
        conf.write_text(
            f"AuthType=auth/munge\nAuthInfo=socket={socket_}\nDbdHost=localhost\n"
            f"DbdPort={self._dbd}\nSlurmUser={user}\nStorageType=accounting_storage/mysql\n"
            f"StorageHost=127.0.0.1\nStoragePort={self._sql}\nStorageUser={user}\n"
            f"StorageLoc=slurm_acct_db\nLogFile={self.root}/log/slurmdbd.log\n"
            f"PidFile={self.root}/slurmdbd.pid\n"
        )
        conf.chmod(0o600)
        self._spawn("slurmdbd", "slurmdbd", "-D")
        _wait("slurmdbd", lambda: self._ok("sacctmgr", "-n", "show", "cluster"))

    def _make_account(self) -> None:
        add = ["sacctmgr", "-i", "add"]
        self.run(*add, "account", "lab", "Description=lab", "Organization=lab")
        self.run(*add, "user", getuser(), "Account=lab", "DefaultAccount=lab")

    def _spawn(self, name: str, *command: str) -> None:
        with open(self.root / "log" / f"{name}.out", "ab") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**os.environ, **self.env}, start_new_session=True,
            )  # fmt: skip
        self.daemons[name] = process.pid
        _CHILDREN.append(process)
        (self.root / f"{name}.spawned").write_text(str(process.pid))

    def _node_states(self) -> list[str]:
        done = subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%N %T"],
            env={**os.environ, **self.env}, capture_output=True, text=True,
        )  # fmt: skip
        return [line.split()[1] for line in sorted(set(done.stdout.splitlines()))]

    def _idle(self) -> bool:
        return self._node_states() == ["idle"] * self.nodes

    def _ok(self, *command: str) -> bool:
        done = subprocess.run(command, env={**os.environ, **self.env}, capture_output=True)
        return done.returncode == 0

    def _last_words(self) -> str:
        files = sorted(self.root.glob("log/*.log"))
        return "; ".join(f"{f.name}: {f.read_text(errors='replace')[-300:]}" for f in files)


_CHILDREN: list[subprocess.Popen[bytes]] = []  # kept, so that their ends are waited for


def _path() -> str:
    """Debian keeps daemons in sbin, which is not on everybody's PATH."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait(
    what: str, ready: Callable[[], bool], seconds: float = _SECONDS, tell: Callable[[], str] = str
) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come within {seconds:.0f} s; {tell()}")
        time.sleep(0.1)


def _processes_with(mark: str) -> list[int]:
    """Processes that carry a text in their environment: what jobs of this cluster left."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid not in _ancestors()]


def _ancestors() -> set[int]:
    pid, found = os.getpid(), set()
    while pid > 1:
        found.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description="A real Slurm on this machine, to try things on.",
        usage="%(prog)s start|stop FOLDER [options]\n\nexample:\n"
        "  python -m tests.cluster start /tmp/cluster",
    )
    parser.add_argument("verb", choices=["start", "stop"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--accounting", action="store_true")
    args = parser.parse_args()
    if absent := missing(args.accounting):
        sys.exit(f"{', '.join(absent)}: not installed; run: make slurm")
    if args.verb == "start":
        args.folder.mkdir(parents=True, exist_ok=True)
        Cluster.start(args.folder, args.nodes, args.accounting)
        print(f"export SLURM_CONF={args.folder.resolve()}/slurm.conf")
        return
    there = {f.stem: int(f.read_text()) for f in args.folder.glob("*.spawned")}
    Cluster(args.folder.resolve(), 0, daemons=there).stop()


if __name__ == "__main__":
    main()
