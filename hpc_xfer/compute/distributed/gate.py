"""Let the ranks of a group in, and nobody else: rank 0 waits here until all have proven the secret.

A stranger may connect, and may be silent: each connection has seconds to prove the secret, the
oldest go first where there are too many, and none is waited for.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass, field

from hpc_xfer.compute.distributed import handshake
from hpc_xfer.compute.distributed.handshake import Address, Conversation, NotProven
from hpc_xfer.compute.distributed.stop_signal import StopSignal

_BACKLOG = 1024
_MOST_UNPROVEN = 128  # connections; a process may have 1,024 files open
_PROOF_SECONDS = 10.0  # a rank needs milliseconds
_LOOK_SECONDS = 0.2  # between looks at a request to stop


@dataclass(eq=False)
class _Visitor:
    """A connection, and how far it has come."""

    connection: socket.socket
    end: float  # until it must be in
    steps: Generator[int, bytes, None] | None = None
    needed: int = 0  # bytes of the message that is awaited
    received: bytes = b""
    conversation: Conversation | None = None
    rank: int | None = None  # once proven
    at_store: Address | None = None  # its end of its connection to the store


@dataclass
class Gate:
    """The socket at which ranks come in. Use it in a `with` block."""

    host: str
    size: int  # ranks, rank 0 too
    secret: bytes
    store_port: int
    port: int = 0
    _visitors: list[_Visitor] = field(default_factory=list)

    def __enter__(self) -> "Gate":
        self._selector = selectors.DefaultSelector()
        self._socket = listening(self.host)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self._selector.register(self._socket, selectors.EVENT_READ)
        return self

    def __exit__(self, *error: object) -> None:
        for visitor in list(self._visitors):
            self._dismiss(visitor)
        self._socket.close()
        self._selector.close()

    def wait(self, stop: StopSignal, seconds: float) -> dict[int, Address]:
        """Wait until all ranks are in; return where each comes from at the store.

        Fewer are returned after so many seconds, or after a request to stop.
        """
        end = time.monotonic() + seconds
        while len(found := self._members()) < self.size - 1:
            left = end - time.monotonic()
            if stop.wait(0) or left <= 0:
                break
            for key, _ in self._selector.select(min(left, _LOOK_SECONDS)):
                if key.data is None:
                    self._admit()
                else:
                    self._hear(key.data)
            self._dismiss_late()
        return found

    def start(self, prefix: bytes) -> None:
        """Tell all ranks that the group is complete, and under which prefix its keys are."""
        for visitor in self._visitors:
            if visitor.at_store is not None and visitor.conversation is not None:
                with contextlib.suppress(OSError):  # of a rank that ended; the group will notice
                    visitor.connection.sendall(visitor.conversation.tell_start(prefix))

    def _members(self) -> dict[int, Address]:
        inside = [each for each in self._visitors if each.at_store is not None]
        return {each.rank: each.at_store for each in inside if each.rank and each.at_store}

    def _admit(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # it left, or too many files are open
            unproven = [each for each in self._visitors if each.rank is None]
            for visitor in unproven[:1]:
                self._dismiss(visitor)
            return
        connection.setblocking(False)
        visitor = _Visitor(connection, time.monotonic() + _PROOF_SECONDS)
        visitor.steps = self._steps(visitor)
        visitor.needed = next(visitor.steps)
        self._visitors.append(visitor)
        self._selector.register(connection, selectors.EVENT_READ, visitor)
        unproven = [each for each in self._visitors if each.rank is None]
        if len(unproven) > _MOST_UNPROVEN:
            self._dismiss(unproven[0])

    def _hear(self, visitor: _Visitor) -> None:
        """Take in what a visitor sent, at most the message that is awaited."""
        if visitor not in self._visitors:
            return  # dismissed in this round
        try:
            data = visitor.connection.recv(max(1, visitor.needed - len(visitor.received)))
            if not data or not visitor.needed or visitor.steps is None:
                raise NotProven("left, or said more than it should")
            visitor.received += data
            if len(visitor.received) == visitor.needed:
                message, visitor.received = visitor.received, b""
                visitor.needed = visitor.steps.send(message)
        except (OSError, NotProven) as error:
            if not isinstance(error, BlockingIOError):
                self._dismiss(visitor)

    def _steps(self, visitor: _Visitor) -> Generator[int, bytes, None]:
        """Talk with a rank: yields how many bytes are awaited; 0 when it only has to wait."""
        theirs = yield handshake.NONCE_BYTES
        own = handshake.nonce()
        conversation = visitor.conversation = Conversation(self.secret, theirs, own)
        visitor.connection.sendall(own + conversation.proof_of_zero())
        message = yield handshake.RANK_BYTES
        rank = conversation.hear_rank(message, self.size)
        for earlier in [each for each in self._visitors if each.rank == rank]:
            self._dismiss(earlier)  # it lost its connection, and comes again
        visitor.rank = rank
        visitor.connection.sendall(conversation.tell_port(self.store_port))
        message = yield handshake.ADDRESS_BYTES
        visitor.at_store = conversation.hear_address(message)
        yield 0

    def _dismiss_late(self) -> None:
        now = time.monotonic()
        for visitor in [v for v in self._visitors if v.at_store is None and v.end < now]:
            self._dismiss(visitor)

    def _dismiss(self, visitor: _Visitor) -> None:
        self._visitors.remove(visitor)
        self._selector.unregister(visitor.connection)
        visitor.connection.close()


def listening(host: str) -> socket.socket:
    """Listen at a free port of one address."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.bind((host, 0))
        made.listen(_BACKLOG)
    except BaseException:  # Ctrl-C too: the caller never gets it to close
        made.close()
        raise
    return made
