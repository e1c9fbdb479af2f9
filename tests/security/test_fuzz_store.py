"""Any JSON, and any change of a valid file, in each kind of file of a store: no command falls over.

What a command ends with is its exit code; `LaunchedStore.call_all` lets every other error through.
"""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.security.launched_store import LaunchedStore

KINDS = (
    "ledger", "plan", "manifest", "record", "record of a probe", "error", "claim", "progress",
    "found held", "lock", "fingerprint", "finished",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**12, 10**400, 1e300, -0.5, "", "; rm", "../x", "a\0b", "x\n", "٣",
    "{0.x}", "\x1b[2J", "x" * 100_000, [], [[]], {}, {"a": [1]}, [None], {"": None}, ["x", 1],
    "2026-01-01", "0001-01-01T00:00:00+23:59",
)  # fmt: skip
JSON = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside),
    max_leaves=6,
)


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each value in a document, from the outside to the inside."""
    yield here
    inside = dict(enumerate(value[:3])) if isinstance(value, list) else value
    for key, each in inside.items() if isinstance(inside, dict) else ():
        yield from places(each, (*here, key))


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """A document in which one value is another, or absent."""
    *above, key = draw(st.sampled_from([*places(document)][1:]))
    found = document = json.loads(json.dumps(document))
    for each in above:
        found = found[each]
    if draw(st.booleans()):
        del found[key]
    else:
        found[key] = draw(JSON)
    return document


@st.composite
def odd_bytes(draw: st.DrawFn, text: str, is_ledger: bool) -> bytes:
    """The content of a file that somebody changed."""
    match draw(st.sampled_from(["changed", "changed", "changed", "any", "cut", "bytes"])):
        case "bytes":
            return draw(st.binary(max_size=40))
        case "cut":
            return text.encode()[: draw(st.integers(0, len(text)))]
        case "any":
            return json.dumps(draw(JSON)).encode()
    if not is_ledger:
        return json.dumps(draw(changed(json.loads(text)))).encode()
    lines = text.splitlines()
    at = draw(st.integers(0, len(lines) - 1))
    lines[at] = json.dumps(draw(changed(json.loads(lines[at]))))
    return "\n".join(lines).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_no_change_of_a_file_makes_a_command_fall_over(study: LaunchedStore, kind: str) -> None:
    path = study.files[kind]
    text = path.read_text()

    @settings(max_examples=10)
    @given(odd_bytes(text, kind == "ledger"))
    def each(content: bytes) -> None:
        shutil.rmtree(study.store.study("one").summary, ignore_errors=True)
        if kind.startswith("record"):  # which is read only while no list says that it is sound
            study.store.finished.unlink(missing_ok=True)
        path.write_bytes(content)
        study.call_all()

    each()
