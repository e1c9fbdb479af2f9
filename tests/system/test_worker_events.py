"""The lines by which a worker says what it does."""

import pytest

from hpc_xfer.system.worker_events import WorkerEvent

LINES = {
    '{"event": "started", "run": "c0ffee"}': WorkerEvent("started", "c0ffee"),
    '{"event": "done", "run": "c0ffee"}': WorkerEvent("done", "c0ffee"),
    '{"event": "interrupted", "run": "c0ffee"}': WorkerEvent("interrupted", "c0ffee"),
    '{"event": "failed", "run": null, "class": "store", "message": "disk full"}': WorkerEvent(
        "failed", failure="store", message="disk full"
    ),
    '{"event": "held", "run": "c0ffee", "by": {"host": "n1"}}': WorkerEvent(
        "held", "c0ffee", by={"host": "n1"}
    ),
    '{"event": "pack", "pack": "ba7c4/0"}': WorkerEvent("pack", pack="ba7c4/0"),
}


@pytest.mark.parametrize("line", LINES)
def test_an_event_is_one_line_of_json(line: str) -> None:
    assert LINES[line].to_json() == line
    assert WorkerEvent.parse(line) == LINES[line]


@pytest.mark.parametrize("line", ["hello", "[1]", "{}", '{"event": "progress"}', '{"event": [1]}'])
def test_any_other_line_is_no_event(line: str) -> None:
    assert WorkerEvent.parse(line) is None
