"""Any bytes in the rendezvous file and at the gate end in a refusal, never in another error."""

import json
import secrets
import socket
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_xfer.compute.distributed import handshake
from hpc_xfer.compute.distributed.gate import Gate
from hpc_xfer.compute.distributed.handshake import Conversation, NotProven
from hpc_xfer.compute.distributed.rendezvous_file import CalledOff, Invitation, parse
from hpc_xfer.compute.distributed.stop_signal import StopSignal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(["host", "port", "secret", "off", "more"])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_in_the_file(data: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(parse(data), Invitation | CalledOff)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, JSON))
def test_any_values_in_the_file(content: dict[str, object]) -> None:
    with suppress(ValueError):
        found = parse(json.dumps(content).encode())
        assert isinstance(found, CalledOff) or 0 < found.port < 65_536


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.integers(1, 1000))
def test_any_bytes_as_a_message(data: bytes, size: int) -> None:
    talk = Conversation(secrets.token_bytes(32), handshake.nonce(), handshake.nonce())
    heard = [
        lambda: talk.check_zero(data), lambda: talk.hear_rank(data, size),
        lambda: talk.hear_port(data), lambda: talk.hear_address(data),
        lambda: talk.hear_start(data),
    ]  # fmt: skip
    for hear in heard:
        with suppress(NotProven):
            hear()
            raise AssertionError("was taken for a sealed message")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=5))
def test_any_bytes_at_the_gate(parts: list[bytes]) -> None:
    with (
        Gate("127.0.0.1", 2, secrets.token_bytes(32), store_port=7) as gate,
        socket.create_connection(("127.0.0.1", gate.port)) as stranger,
    ):
        for part in parts:
            with suppress(ConnectionError):
                stranger.sendall(part)
            assert gate.wait(StopSignal(), 0.01) == {}
