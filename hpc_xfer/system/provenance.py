"""Describe where a number comes from: code, packages, machine, job."""

import os
import platform
import socket
import subprocess
from datetime import datetime, timezone
from functools import cache
from typing import Any

import hpc_xfer
from hpc_xfer.system.job_environment import current_job, restart_count
from hpc_xfer.system.package_code import PACKAGE, own_digest, own_origin

_PACKAGES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow", "webdataset")


def now() -> str:
    """Return the time in UTC, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@cache
def code() -> dict[str, Any]:
    """Return version, git commit, whether the tree differs, and the digest of the package.

    Commit and difference are None outside a checkout. In the copy that a launch made for its jobs,
    all four are those of the launch.
    """
    if (origin := own_origin()) is not None:
        return {name: origin.get(name) for name in ("version", "commit", "dirty", "digest")}
    # The file too: a package in a .venv lies in the checkout of another program.
    found = _git("rev-parse", "HEAD", "HEAD:./__init__.py")
    return {
        "version": hpc_xfer.__version__,
        "commit": found.split()[0] if found else None,
        "dirty": _dirty() if found else None,
        "digest": own_digest(),
    }


@cache
def packages() -> dict[str, str]:
    from importlib import metadata  # takes 5 ms, which --help need not pay

    return {name: metadata.version(name) for name in _PACKAGES} | {
        "python": platform.python_version()
    }


def machine() -> dict[str, Any]:
    """Return the host, the process and, inside Slurm, the job, its array index and its restarts."""
    job, _, task = (current_job() or "").partition("_")
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "slurm_job": job or None,
        "slurm_task": task or None,
        "restarts": restart_count(),
    }


def _dirty() -> bool | None:
    status = _git("status", "--porcelain", "--untracked-files=no")
    return None if status is None else bool(status)


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(PACKAGE), *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
