"""Find the TCP ports of a process, as a neighbor on the node can."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LISTENS = "0A"
Address = tuple[str, int]


def listening(pid: int) -> set[Address]:
    """Addresses at which a process listens."""
    own = set(_inodes(pid))
    return {
        address
        for table in ("tcp", "tcp6")
        for address, state, inode in _rows(Path(f"/proc/{pid}/net/{table}"))
        if state == _LISTENS and inode in own
    }


def _inodes(pid: int) -> Iterator[str]:
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(handle)
            if target.startswith("socket:["):
                yield target[8:-1]


def _rows(table: Path) -> Iterator[tuple[Address, str, str]]:
    for line in table.read_text().splitlines()[1:]:
        words = line.split()
        host, port = words[1].split(":")
        yield (_host(host), int(port, 16)), words[3], words[9]


def _host(text: str) -> str:
    """The kernel prints addresses as words of the host's byte order."""
    words = [struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words))
