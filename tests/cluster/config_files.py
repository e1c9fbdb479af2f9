"""Write what the daemons of a cluster read: slurm.conf, gres.conf, slurmdbd.conf, my.cnf."""

import contextlib
import os
import pwd
import random
import re
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FOLDERS = ("dev", "log", "munge", "mysql", "run", "saved", "spool", "state")
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


def write_files(
    root: Path,
    name: str,
    services: Path,
    nodes: Mapping[str, tuple[int, int]],
    accounting: bool,
    settings: Mapping[str, str],
    partitions: Mapping[str, str],
) -> None:
    """Write all files of a cluster.

    Args:
        services: folder of the cluster whose munged and slurmdbd it uses; `root` for its own.
        nodes: CPUs and GPUs of each.
    """
    for folder in (*_FOLDERS, *(f"spool/{node}" for node in nodes)):
        (root / folder).mkdir(parents=True, exist_ok=True)
    ports = _Ports.free(len(nodes))
    conf = _settings(root, name, services, ports, settings)
    if accounting:
        port = ports.slurmdbd if services == root else _dbd_port(services)
        conf += _accounting(services, port, settings)
    gres = ""
    for (node, (cpus, gpus)), port in zip(nodes.items(), ports.nodes, strict=True):
        conf += _node(node, port, cpus, gpus)
        gres += _gpus(root, node, gpus)
    for partition, options in {**_PARTITIONS, **partitions}.items():
        conf += _partition(partition, options)
    (root / "slurm.conf").write_text(conf)
    (root / "gres.conf").write_text(gres)
    if accounting and services == root:
        (root / "my.cnf").write_text(_database(root, ports.mariadbd))
        (root / "slurmdbd.conf").write_text(_slurmdbd(root, ports))
        (root / "slurmdbd.conf").chmod(0o600)  # slurmdbd takes no other


def remove_files(root: Path) -> None:
    """Remove what the cluster made; the user's own files stay."""
    for name in _FOLDERS:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in _FILES:
        (root / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        root.rmdir()


def _settings(
    root: Path, name: str, services: Path, ports: "_Ports", own: Mapping[str, str]
) -> str:
    settings = {
        "ClusterName": name,
        "SlurmctldHost": f"{socket.gethostname()}(127.0.0.1)",
        "SlurmctldPort": str(ports.slurmctld),
        "SlurmUser": user(),
        "SlurmdUser": user(),
        "StateSaveLocation": f"{root}/state",
        "SlurmdSpoolDir": f"{root}/spool/%n",
        "SlurmctldPidFile": f"{root}/run/slurmctld.pid",
        "SlurmdPidFile": f"{root}/run/slurmd.%n.pid",
        "SlurmctldLogFile": f"{root}/log/slurmctld.log",
        "SlurmdLogFile": f"{root}/log/slurmd.%n.log",
        **_DEFAULTS,
    }
    # A requeued job is held for cred_expire, which is 120 s if not said otherwise.
    auth = f"socket={munge_socket(services)},{own.get('AuthInfo', 'cred_expire=5')}"
    return _lines({**settings, **own, "AuthInfo": auth})


def _accounting(services: Path, port: int, own: Mapping[str, str]) -> str:
    settings = {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": str(port),
        # Without it each command asks the munge of this machine, and waits 10 s for it.
        "AccountingStoragePass": str(munge_socket(services)),
        "AccountingStorageEnforce": "limits,qos",
    }
    return _lines({name: value for name, value in settings.items() if name not in own})


def _dbd_port(services: Path) -> int:
    """Return the port of a slurmdbd that runs already."""
    found = re.search(r"^DbdPort=(\d+)$", (services / "slurmdbd.conf").read_text(), re.M)
    assert found is not None, "we wrote it"
    return int(found[1])


def _lines(settings: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _node(name: str, port: int, cpus: int, gpus: int) -> str:
    gres = f" Gres=gpu:{gpus}" if gpus else ""
    return (
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} "
        f"CPUs={cpus} RealMemory=16000{gres}\n"
    )


def _gpus(root: Path, node: str, count: int) -> str:
    """Return a line of gres.conf; a node whose GPUs have no device files comes up invalid."""
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
user={user()}
skip-grant-tables
innodb-buffer-pool-size=32M
innodb-flush-log-at-trx-commit=0
[client]
socket={root}/run/mysql
"""


def _slurmdbd(root: Path, ports: "_Ports") -> str:
    return f"""\
AuthType=auth/munge
AuthInfo=socket={munge_socket(root)}
SlurmUser={user()}
DbdHost=localhost
DbdPort={ports.slurmdbd}
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports.mariadbd}
StorageUser={user()}
StorageLoc=slurm_acct_db
LogFile={root}/log/slurmdbd.log
PidFile={root}/run/slurmdbd.pid
"""


def munge_socket(root: Path) -> Path:
    """Return the path of the socket of munged."""
    return root / "munge/socket"


@dataclass(frozen=True)
class _Ports:
    slurmctld: int
    slurmdbd: int
    mariadbd: int
    nodes: tuple[int, ...]

    @classmethod
    def free(cls, nodes: int) -> "_Ports":
        """Pick ports below those of outgoing connections, which could take one before us."""
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


def user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name  # not getuser(), which believes the environment
