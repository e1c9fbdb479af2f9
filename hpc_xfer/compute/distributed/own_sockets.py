"""Look at the TCP connections of this process, which torch opens and does not show."""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from hpc_xfer.compute.distributed.handshake import Address


@dataclass(frozen=True)
class OwnSocket:
    """A connection of this process."""

    handle: int
    own: Address
    other: Address


def connected_to(address: Address) -> list[Address]:
    """Return the own addresses of this process's connections to an address."""
    return [each.own for each in _connections() if each.other == address]


def cut_off(listening: Address, members: set[Address]) -> int:
    """End the connections at an address that are of nobody among the members; return how many."""
    strangers = [
        each for each in _connections() if each.own == listening and each.other not in members
    ]
    for each in strangers:
        with _borrowed(each.handle) as found, contextlib.suppress(OSError):
            found.shutdown(socket.SHUT_RDWR)
    return len(strangers)


def _connections() -> Iterator[OwnSocket]:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile, not connected
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with _borrowed(int(name)) as found:
                if found.family in (socket.AF_INET, socket.AF_INET6):
                    own, other = _address(found.getsockname()), _address(found.getpeername())
                    yield OwnSocket(int(name), own, other)


@contextlib.contextmanager
def _borrowed(handle: int) -> Iterator[socket.socket]:
    with socket.socket(fileno=os.dup(handle)) as found:
        yield found


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    return name[0].removeprefix("::ffff:"), name[1]
