"""Give a node other folders than the login node has: mounts in a namespace of its own."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

_SCRIPT = 'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'
_IN_A_NAMESPACE = ("unshare", "--mount", "--propagation", "private")


def are_allowed() -> bool:
    """Tell whether this user may mount in a namespace: root may, but not in each container."""
    with_a_mount = [*_IN_A_NAMESPACE, "mount", "--bind", "/", "/"]
    try:
        return subprocess.run(with_a_mount, capture_output=True).returncode == 0
    except OSError:
        return False


def inside(mounts: Mapping[Path, Path], *command: str) -> tuple[str, ...]:
    """Return the command that sees at each path the folder that `mounts` names for it.

    They are mounted in the order given: what a later one covers may be seen through an earlier.
    """
    if not mounts:
        return command
    pairs = [str(end) for path, folder in mounts.items() for end in (folder, path)]
    return (*_IN_A_NAMESPACE, "sh", "-ec", _SCRIPT, "node", *pairs, "--", *command)


def with_shared_memory(size: str, *command: str) -> tuple[str, ...]:
    """Return the command that sees a /dev/shm of this size, as in a container: `64m`, `200k`."""
    mount = f'mount -t tmpfs -o size={size} tmpfs /dev/shm; exec "$@"'
    return (*_IN_A_NAMESPACE, "sh", "-ec", mount, "sh", *command)
