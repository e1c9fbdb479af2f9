"""Prove a secret to each other, then send sealed messages: a protocol of fixed sizes.

    rank                                     rank 0
    nonce (32 bytes)                    ->
                                        <-   nonce, and a seal of both: rank 0 knows the secret
    rank, size, sealed                  ->   the rank knows it too
                                        <-   port of the store, sealed
    own address at the store, sealed    ->
                                        <-   prefix of the keys, sealed: all ranks are there

A seal is an HMAC under a key of this conversation, over the kind of the message too, so that none
can be used again or in another place. Nothing is parsed before it was proven.
"""

import hashlib
import hmac
import secrets
import struct

NONCE_BYTES = 32
SEAL_BYTES = 32
_CONTEXT = b"hpc_xfer rendezvous 1"
_RANK = struct.Struct("!II")  # rank, size
_PORT = struct.Struct("!H")
_ADDRESS = struct.Struct("!4sH")
PREFIX_BYTES = 16
WELCOME_BYTES = NONCE_BYTES + SEAL_BYTES
RANK_BYTES = _RANK.size + SEAL_BYTES
PORT_BYTES = _PORT.size + SEAL_BYTES
ADDRESS_BYTES = _ADDRESS.size + SEAL_BYTES
START_BYTES = PREFIX_BYTES + SEAL_BYTES

Address = tuple[str, int]  # IPv4, port


class NotProven(Exception):
    """The other side does not know the secret, or says what does not fit."""


def nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)


class Conversation:
    """One connection, after both sides have sent a nonce."""

    def __init__(self, secret: bytes, nonce_of_rank: bytes, nonce_of_zero: bytes) -> None:
        self._key = _hmac(secret, _CONTEXT + nonce_of_rank + nonce_of_zero)

    def proof_of_zero(self) -> bytes:
        return self._sealed(b"zero", b"")

    def check_zero(self, proof: bytes) -> None:
        """Raises:
        NotProven: the other side is not rank 0 of this start.
        """
        self._opened(b"zero", proof)

    def tell_rank(self, rank: int, size: int) -> bytes:
        return self._sealed(b"rank", _RANK.pack(rank, size))

    def hear_rank(self, message: bytes, size: int) -> int:
        """Return the rank of the other side.

        Raises:
            NotProven: it does not know the secret, or is of a group of another size.
        """
        rank, of = _RANK.unpack(self._opened(b"rank", message))
        if of != size or not 0 < rank < size:
            raise NotProven(f"rank {rank} of {of} does not belong to {size} ranks")
        return int(rank)

    def tell_port(self, port: int) -> bytes:
        return self._sealed(b"port", _PORT.pack(port))

    def hear_port(self, message: bytes) -> int:
        return int(_PORT.unpack(self._opened(b"port", message))[0])

    def tell_address(self, address: Address) -> bytes:
        host = bytes(map(int, address[0].split(".")))
        return self._sealed(b"address", _ADDRESS.pack(host, address[1]))

    def hear_address(self, message: bytes) -> Address:
        host, port = _ADDRESS.unpack(self._opened(b"address", message))
        return ".".join(map(str, host)), int(port)

    def tell_start(self, prefix: bytes) -> bytes:
        return self._sealed(b"start", prefix)

    def hear_start(self, message: bytes) -> bytes:
        return self._opened(b"start", message)

    def _sealed(self, kind: bytes, body: bytes) -> bytes:
        return body + _hmac(self._key, kind + b"\0" + body)

    def _opened(self, kind: bytes, message: bytes) -> bytes:
        body, seal = message[:-SEAL_BYTES], message[-SEAL_BYTES:]
        if not hmac.compare_digest(seal, _hmac(self._key, kind + b"\0" + body)):
            raise NotProven("the other side does not know the secret of this start")
        return body


def link_proof(secret: bytes, prefix: bytes, sender: int, receiver: int) -> bytes:
    """Return what one rank sends to another over torch's own transport, and nobody else can."""
    return _hmac(secret, b"link\0" + prefix + _RANK.pack(sender, receiver))


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)
