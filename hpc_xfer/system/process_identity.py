"""Identify processes in files that several hosts read, and tell whether they live.

    identity = this_process()       # {"host": ..., "pid": ..., "process_started": ..., ...}
    is_running(identity)            # True, False, or None where this process cannot tell

A process id means something only on the host, since the boot, and in the pid namespace where it
was given: two containers may have the same host name, and each a process 1.
"""

import os
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


def this_process() -> dict[str, Any]:
    """Return what identifies this process; None for what the system does not tell."""
    pid = os.getpid()
    return {"pid": pid, "process_started": _start_time(pid), **_place()}


def is_running(identity: Mapping[str, Any]) -> bool | None:
    """Tell whether a process lives; None where it ran elsewhere or /proc does not show it.

    Args:
        identity: from `this_process`. Older versions wrote no `boot` and no `pid_namespace`: the
            host alone decides then.
    """
    mine = _place()
    if any(identity.get(key, mine[key]) != mine[key] for key in mine) or "host" not in identity:
        return None
    pid = identity.get("pid")
    if identity.get("process_started") is None or not isinstance(pid, int) or pid < 1:
        return None
    started = _start_time(pid)
    if started is None and _belongs_to_another_user(pid):
        return None
    return bool(started == identity["process_started"])


def _place() -> dict[str, str | None]:
    """Return what must agree before process ids can be compared."""
    boot, namespace = _kernel()
    return {"host": socket.gethostname(), "boot": boot, "pid_namespace": namespace}


@cache
def _kernel() -> tuple[str | None, str | None]:
    """Return the boot and the pid namespace, which stay the same while a process lives."""
    try:
        return _BOOT.read_text().strip(), os.readlink(_PID_NAMESPACE)
    except OSError:  # no /proc
        return None, None


def _belongs_to_another_user(pid: int) -> bool:
    """True for a process of another user, which /proc may hide (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _start_time(pid: int) -> str | None:
    """Read when a process started (ids are used again); None where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in "ZX" else started
