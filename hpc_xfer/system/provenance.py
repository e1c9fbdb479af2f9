"""Where a number comes from: code, packages, machine, job."""

import os
import platform
import socket
import subprocess
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import hpc_xfer

_PACKAGES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow", "webdataset")


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@cache
def code() -> dict[str, Any]:
    """Version, git commit and whether the tree differs from it; no commit outside a checkout."""
    return {"version": hpc_xfer.__version__, "commit": _git("rev-parse", "HEAD"), "dirty": _dirty()}


@cache
def packages() -> dict[str, str]:
    return {name: metadata.version(name) for name in _PACKAGES} | {
        "python": platform.python_version()
    }


def machine() -> dict[str, Any]:
    """Host and, inside Slurm, the job."""
    return {
        "host": socket.gethostname(),
        "slurm_job": os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID"),
        "slurm_task": os.environ.get("SLURM_ARRAY_TASK_ID"),
        "restarts": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
    }


def _dirty() -> bool | None:
    status = _git("status", "--porcelain", "--untracked-files=no")
    return None if status is None else bool(status)


def _git(*arguments: str) -> str | None:
    folder = Path(__file__).parent.parent  # the package
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
