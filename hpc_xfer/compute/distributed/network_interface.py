"""By which address, on which interface, the ranks of a run on other nodes reach this one."""

import contextlib
import fcntl
import os
import socket
import struct
from pathlib import Path

from hpc_xfer.system.job_environment import node_count


def own_address() -> str:
    """Loopback on one node; else where other nodes reach us. Nothing is sent."""
    if _on_one_node():
        return "127.0.0.1"
    if (name := interface()) is not None:
        return _address_of(name)
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def tell_gloo() -> None:
    """Where to listen; left alone it takes what the host's name means, on Debian 127.0.1.1."""
    if not _on_one_node() and (name := interface()) is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def interface() -> str | None:
    """The one that NCCL or gloo is told to use, else that of the default route."""
    told = (os.environ.get(name, "") for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"))
    for name in (*(name for names in told for name in _matching(names)), *_of_default_route()):
        with contextlib.suppress(OSError):  # down, or without an IPv4 address
            _address_of(name)
            return name
    return None


def _on_one_node() -> bool:
    return node_count() == 1


def _matching(told: str) -> list[str]:
    """Interfaces that NCCL's list means: beginnings of names, whole names behind `=`.

    What it excludes (`^docker`) says nothing of the one to use.
    """
    if told.startswith("^"):
        return []
    there = [name for _, name in socket.if_nameindex()]
    words = [word for word in told.removeprefix("=").split(",") if word]
    if told.startswith("="):
        return [word for word in words if word in there]
    return [name for word in words for name in there if name.startswith(word)]


def _of_default_route() -> list[str]:
    """As the kernel tells; of several, the one it prefers first."""
    try:
        rows = [row.split() for row in Path("/proc/net/route").read_text().splitlines()[1:]]
    except OSError:
        return []
    found = [(int(row[6]), row[0]) for row in rows if row[1] == row[7] == "00000000"]
    return [name for _, name in sorted(found)]


def _address_of(interface: str) -> str:
    """Its IPv4 address.

    Raises:
        OSError: it has none.
    """
    get_address = 0x8915  # SIOCGIFADDR
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        told = fcntl.ioctl(probe, get_address, struct.pack("256s", interface.encode()[:15]))
    return socket.inet_ntoa(told[20:24])
