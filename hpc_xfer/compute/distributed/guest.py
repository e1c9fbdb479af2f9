"""Come in at the gate of rank 0, and connect to its store."""

import socket
import time
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from hpc_xfer.compute.distributed import handshake, own_sockets
from hpc_xfer.compute.distributed.handshake import Conversation, NotProven
from hpc_xfer.compute.distributed.rendezvous_file import Invitation
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.errors import Interrupted

_CONNECT = timedelta(seconds=10)  # then the file is read again: it may have a new address
_LOOK_SECONDS = 0.5  # between looks at a request to stop


def enter(
    invitation: Invitation, rank: int, size: int, stop: StopSignal, timeout: timedelta
) -> tuple[TCPStore, bytes]:
    """Return the store of rank 0 and the prefix of its keys, once all ranks are in.

    Raises:
        NotProven: not rank 0 answers, but somebody else.
        OSError, DistNetworkError: nobody answers, or rank 0 has ended.
        Interrupted: this process was asked to stop.
    """
    address = invitation.host, invitation.port
    with socket.create_connection(address, _CONNECT.total_seconds()) as connection:
        nonce = handshake.nonce()
        connection.sendall(nonce)
        welcome = _receive(connection, handshake.WELCOME_BYTES)
        theirs, proof = welcome[: handshake.NONCE_BYTES], welcome[handshake.NONCE_BYTES :]
        conversation = Conversation(invitation.secret, nonce, theirs)
        conversation.check_zero(proof)
        connection.sendall(conversation.tell_rank(rank, size))
        port = conversation.hear_port(_receive(connection, handshake.PORT_BYTES))
        store = TCPStore(invitation.host, port, size, False, _CONNECT)
        own = own_sockets.connected_to((invitation.host, port))
        if len(own) != 1:
            raise dist.DistNetworkError(f"{len(own)} connections to the store of rank 0")
        connection.sendall(conversation.tell_address(own[0]))
        connection.settimeout(_LOOK_SECONDS)
        prefix = conversation.hear_start(_receive(connection, handshake.START_BYTES, stop))
    store.set_timeout(timeout)
    return store, prefix


def _receive(connection: socket.socket, size: int, stop: StopSignal | None = None) -> bytes:
    """Receive a message of this size within the time limit; with `stop`, as long as it takes.

    Rank 0 ends its waiting itself, which closes the connection.
    """
    data, end = b"", time.monotonic() + _CONNECT.total_seconds()
    while len(data) < size:
        if stop is not None and stop.wait(0):
            raise Interrupted("asked to stop while waiting for the other ranks")
        if stop is None and time.monotonic() > end:
            raise NotProven("does not answer in time")
        try:
            part = connection.recv(size - len(data))
        except TimeoutError:
            if stop is None:
                raise
            continue
        if not part:
            raise NotProven("left")
        data += part
    return data
