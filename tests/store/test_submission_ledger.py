"""The ledger of submissions: written before sbatch is called, and read again."""

import json
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Submission, job_name, read_ledger
from hpc_xfer.system import atomic_files

HERE = socket.gethostname()


def intent(name: str, elements: int | None = 3) -> Submission:
    return Submission(
        "s", name, "finetune", "c0ffee", elements, "2026-01-02T03:04:05+00:00", "here", "ada"
    )


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    ledger = read_ledger(Store(tmp_path))
    for name in ("a", "b", "c"):
        ledger.record_intent(intent(name))
    ledger.record_submitted(ledger.submissions["a"], "12")
    ledger.record_closed(ledger.submissions["b"], "lost")
    ledger.record_cancelled(ledger.submissions["a"], [2, 0])
    again = read_ledger(Store(tmp_path))
    assert list(again.submissions) == list(ledger.submissions)
    assert again.submissions["a"].job == ledger.submissions["a"].job == "12"
    assert [s.is_unresolved for s in again.submissions.values()] == [False, False, True]
    assert list(again.submissions["a"].ids()) == [(0, "12_0"), (1, "12_1"), (2, "12_2")]
    assert again.submissions["a"].cancelled == {0, 2}
    assert again.submission_count("s", "c0ffee", "finetune") == 3


def test_a_line_that_was_cut_off_is_skipped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ledger = read_ledger(store)
    ledger.record_intent(intent("a"))
    with open(store.study("s").launches, "a") as file:
        file.write('{"event": "subm')
    assert read_ledger(store).submissions["a"].is_unresolved


def test_a_node_is_bad_after_failures_of_different_jobs(tmp_path: Path) -> None:
    ledger = read_ledger(Store(tmp_path))
    ledger.record_node_failure("s", "n1", "hung", "12")
    ledger.record_node_failure("s", "n1", "hung", "12")
    assert ledger.bad_nodes(2) == ()
    ledger.record_node_failure("s", "n1", "killed", "13")
    assert read_ledger(Store(tmp_path)).bad_nodes(2) == ("n1",)


def test_a_job_that_was_killed_on_every_node_counts_against_none_of_them(tmp_path: Path) -> None:
    ledger = read_ledger(Store(tmp_path))
    for node in ("n1", "n2", "n3"):
        for job in ("12", "13"):
            ledger.record_node_failure("s", node, "killed", job)
    assert ledger.bad_nodes(2) == ()
    ledger.record_node_failure("s", "n2", "node failure", "12")
    ledger.record_node_failure("s", "n2", "node failure", "13")
    assert ledger.bad_nodes(2) == ("n2",)


@pytest.mark.parametrize(("days", "bad"), [(6, ("n1",)), (8, ())])
def test_failures_count_against_a_node_for_a_week(
    tmp_path: Path, days: int, bad: tuple[str, ...]
) -> None:
    store = Store(tmp_path)
    then = (datetime.now(timezone.utc) - timedelta(days=days)).isoformat()
    for job in ("12", "13"):
        failure = {"event": "hit", "time": then, "node": "n1", "class": "hung", "job": job}
        atomic_files.append_line(store.study("s").launches, json.dumps(failure))
    assert read_ledger(store).bad_nodes(2) == bad


def test_the_line_after_one_that_was_cut_off_is_read(tmp_path: Path) -> None:
    """The disk may be full for a moment; without this line the job would be submitted twice."""
    store = Store(tmp_path)
    ledger = read_ledger(store)
    ledger.record_intent(intent("a"))
    with open(store.study("s").launches, "a") as file:
        file.write('{"event": "int')
    ledger.record_intent(intent("b"))
    ledger.record_submitted(ledger.submissions["b"], "13")
    assert read_ledger(store).submissions["b"].job == "13"


@pytest.mark.parametrize("label", ["clip laion 1M", "a\n#SBATCH --uid=0", "lr=0.1 'x' $(y) %j"])
def test_a_job_name_is_one_plain_word(label: str) -> None:
    name = job_name("ft5", label, "size scaling", "c0ffee-30e858", 1)
    assert name.startswith("ft5.") and name.endswith(".size-scaling.c0ffee-30e858.1")
    assert not set(name) & set(" \n#'$()%")
