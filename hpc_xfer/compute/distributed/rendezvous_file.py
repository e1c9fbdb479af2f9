"""Write and read the file in which rank 0 tells the other ranks where it listens, and the secret.

    invite(meeting, Invitation("10.0.0.7", 40123, secrets.token_bytes(32)))
    InvitationReader(meeting).read()      # Invitation, CALLED_OFF, or None: nothing to be used yet

The file is for its owner alone. A reader takes it only if it is a regular file of its own user that
nobody else can read or write: what others put under its name sends nobody elsewhere.
"""

import ipaddress
import logging
import os
import stat
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from hpc_xfer.errors import StoreError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.private_file import write_private

SECRET_BYTES = 32
_MOST_BYTES = 1024  # a file of ours has about 130

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Invitation:
    """The address at which rank 0 listens, and the secret that both sides prove to each other."""

    host: str  # IPv4
    port: int
    secret: bytes


class CalledOff:
    """Rank 0 has nothing to do: the run is done, or claimed by another process."""


CALLED_OFF = CalledOff()


def invite(path: Path, invitation: Invitation) -> None:
    """Write where rank 0 listens.

    Raises:
        StoreError: the file cannot be written, or others could read it.
    """
    told = {"host": invitation.host, "port": invitation.port, "secret": invitation.secret.hex()}
    _write(path, told)
    if InvitationReader(path).read() != invitation:
        raise StoreError(
            f"{path}: cannot be kept private; put the store on a file system that has permissions"
        )


def call_off(path: Path) -> None:
    """Write that rank 0 has nothing to do.

    Raises:
        StoreError: the file cannot be written.
    """
    _write(path, {"off": True})


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        write_private(path, atomic_files.json_bytes(content))
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); remove what is there, free "
            "space or fix the permissions, then try again"
        ) from error


def parse(data: bytes) -> Invitation | CalledOff:
    """Parse the content of the file.

    Raises:
        ValueError: it is not what rank 0 writes.
    """
    if len(data) > _MOST_BYTES:
        raise ValueError("is too large")
    match from_json(data):
        case {"off": True, **rest} if not rest:
            return CALLED_OFF
        case {"host": str() as host, "port": int() as port, "secret": str() as secret, **rest} if (
            not rest and not isinstance(port, bool) and 0 < port < 1 << 16
        ):
            found = Invitation(str(ipaddress.IPv4Address(host)), port, bytes.fromhex(secret))
            if len(found.secret) == SECRET_BYTES:
                return found
    raise ValueError("is not what rank 0 writes")


class InvitationReader:
    """Reads the file until it can be used, and warns once of each reason why it cannot."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: set[str] = set()  # reasons

    def read(self) -> Invitation | CalledOff | None:
        """Return what rank 0 has written; None if nothing is there, or nothing to be used."""
        try:
            handle = atomic_files.open_plainly(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            self._refuse(str(getattr(error, "strerror", None) or error))
            return None
        with open(handle, "rb", buffering=0) as file:
            if (why := self._why_foreign(os.fstat(handle))) is not None:
                self._refuse(why)
                return None
            try:
                return parse(file.read(_MOST_BYTES + 1))
            except (OSError, ValueError):
                self._refuse("is not what rank 0 writes")
        return None

    def _why_foreign(self, found: os.stat_result) -> str | None:
        if stat.S_IMODE(found.st_mode) & 0o077:
            return "may be read or written by others"
        if found.st_uid != os.geteuid() and found.st_uid != self._own_uid:
            return "belongs to another user"
        return None

    @cached_property
    def _own_uid(self) -> int:
        """The owner of a file that this process makes there: NFS may name root another user."""
        try:
            with tempfile.TemporaryFile(dir=self.path.parent) as made:
                return os.fstat(made.fileno()).st_uid
        except OSError:
            return os.geteuid()

    def _refuse(self, why: str) -> None:
        if why not in self.refused:
            self.refused.add(why)
            log.warning("%s: %s, and is not used; waiting for that of rank 0", self.path, why)
