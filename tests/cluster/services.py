"""Start what a controller needs beside it: munged, and for accounting mariadbd and slurmdbd."""

import secrets
from pathlib import Path

from tests.cluster import config_files
from tests.cluster.daemons import Daemons


def start_munge(root: Path, daemons: Daemons) -> None:
    folder = root / "munge"
    key = folder / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    files = [f"--{what}={folder}/{what[:-5]}" for what in ("key-file", "pid-file", "seed-file")]
    files.append(f"--socket={config_files.munge_socket(root)}")
    files.append(f"--log-file={root}/log/munged.log")
    daemons.spawn("munged", "munged", "--foreground", "--force", *files)


def start_database(root: Path, daemons: Daemons) -> None:
    options = f"--defaults-file={root}/my.cnf"
    daemons.run("mariadb-install-db", options, "--auth-root-authentication-method=normal")
    daemons.spawn("mariadbd", "mariadbd", options)
    daemons.await_answer("mariadbd", "mariadb", options, "-e", "create database slurm_acct_db")


def start_slurmdbd(daemons: Daemons) -> None:
    daemons.spawn("slurmdbd", "slurmdbd", "-D")
    daemons.await_answer("slurmdbd", "sacctmgr", "-n", "show", "qos")


def make_account(name: str, daemons: Daemons) -> None:
    """Make a cluster known, and an account: without one, a user may submit nothing under limits.

    Root has one.
    """
    add = ("sacctmgr", "-i", "add")
    daemons.run(*add, "cluster", name)
    if config_files.user() != "root":
        daemons.run(*add, "user", config_files.user(), f"Cluster={name}", "Account=root")


def await_registration(name: str, daemons: Daemons) -> None:
    """Wait until slurmdbd knows the controller's address: `-M NAME` asks it for that."""
    show = ("sacctmgr", "-nP", "show", "cluster", name, "format=ControlHost")
    daemons.wait_until(f"slurmdbd to know {name}", lambda: daemons.run(*show) != "")
