"""Find the network interface and the address at which other nodes reach this one."""

import contextlib
import fcntl
import os
import socket
import struct
from pathlib import Path

from hpc_xfer.system.job_environment import node_count


def own_address() -> str:
    """IPv4 address for the other ranks: loopback if all are on one node. Nothing is sent."""
    if _on_one_node():
        return "127.0.0.1"
    if (name := interface()) is not None:
        return _address_of(name)
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def set_interfaces() -> None:
    """Set where gloo and NCCL listen: on one node at loopback alone, unless the user says where.

    Between nodes, gloo's default is the address of the host name: on Debian, 127.0.1.1.
    """
    if _on_one_node():
        if (name := _loopback()) is not None:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={name}")
    elif (name := interface()) is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def _loopback() -> str | None:
    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError):
            if _address_of(name) == "127.0.0.1":
                return name
    return None


def interface() -> str | None:
    """Interface that the user set for NCCL or gloo, else that of the default route."""
    wanted = (os.environ.get(name, "") for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"))
    for name in (*(name for names in wanted for name in matching(names)), *_default_route()):
        with contextlib.suppress(OSError):  # down, or without an IPv4 address
            _address_of(name)
            return name
    return None


def _on_one_node() -> bool:
    return node_count() == 1


def matching(wanted: str) -> list[str]:
    """Interfaces in a list as NCCL takes it: prefixes of names, or after `=` whole names.

    A list of interfaces to avoid (`^docker`) gives none.
    """
    if wanted.startswith("^"):
        return []
    present = [name for _, name in socket.if_nameindex()]
    words = [word for word in wanted.removeprefix("=").split(",") if word]
    if wanted.startswith("="):
        return [word for word in words if word in present]
    return [name for word in words for name in present if name.startswith(word)]


def _default_route() -> list[str]:
    """Interfaces of default routes, by the kernel's order of preference."""
    try:
        rows = [row.split() for row in Path("/proc/net/route").read_text().splitlines()[1:]]
    except OSError:
        return []
    routes = [(int(row[6]), row[0]) for row in rows if row[1] == row[7] == "00000000"]
    return [name for _, name in sorted(routes)]


def _address_of(interface: str) -> str:
    """IPv4 address of an interface.

    Raises:
        OSError: it is down or has none.
    """
    get_address = 0x8915  # SIOCGIFADDR
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe, get_address, struct.pack("256s", interface.encode()[:15]))
    return socket.inet_ntoa(answer[20:24])
