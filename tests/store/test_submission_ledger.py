"""What was handed to Slurm, written ahead and read again."""

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


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    book = read_ledger(Store(tmp_path))
    for name in ("a", "b", "c"):
        book.record_intent(intent(name))
    book.record_submitted(book.submissions["a"], "12")
    book.record_closed(book.submissions["b"], "lost")
    book.record_cancelled(book.submissions["a"], [2, 0])
    again = read_ledger(Store(tmp_path))
    assert list(again.submissions) == list(book.submissions)
    assert again.submissions["a"].job == book.submissions["a"].job == "12"
    assert [s.is_unresolved for s in again.submissions.values()] == [False, False, True]
    assert list(again.submissions["a"].ids()) == [(0, "12_0"), (1, "12_1"), (2, "12_2")]
    assert again.submissions["a"].cancelled == {0, 2}
    assert again.submission_count("s", "c0ffee", "finetune") == 3


def test_a_line_that_was_cut_is_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    book = read_ledger(store)
    book.record_intent(intent("a"))
    with open(store.study("s").launches, "a") as file:
        file.write('{"event": "subm')
    assert read_ledger(store).submissions["a"].open


def test_a_node_is_bad_after_failures_of_different_jobs(tmp_path: Path) -> None:
    book = read_ledger(Store(tmp_path))
    book.record_node_failure("s", "n1", "hung", "12")
    book.record_node_failure("s", "n1", "hung", "12")
    assert book.bad_nodes(2) == ()
    book.record_node_failure("s", "n1", "killed", "13")
    assert read_ledger(Store(tmp_path)).bad_nodes(2) == ("n1",)


def test_a_job_that_was_killed_on_every_node_speaks_against_none(tmp_path: Path) -> None:
    book = read_ledger(Store(tmp_path))
    for node in ("n1", "n2", "n3"):
        for job in ("12", "13"):
            book.record_node_failure("s", node, "killed", job)
    assert book.bad_nodes(2) == ()
    book.record_node_failure("s", "n2", "node failure", "12")
    book.record_node_failure("s", "n2", "node failure", "13")
    assert book.bad_nodes(2) == ("n2",)


@pytest.mark.parametrize(("days", "bad"), [(6, ("n1",)), (8, ())])
def test_a_node_is_forgiven_after_a_week(tmp_path: Path, days: int, bad: tuple[str, ...]) -> None:
    store = Store(tmp_path)
    then = (datetime.now(timezone.utc) - timedelta(days=days)).isoformat()
    for job in ("12", "13"):
        hit = {"event": "hit", "time": then, "node": "n1", "class": "hung", "job": job}
        atomic_files.append_line(store.study("s").launches, json.dumps(hit))
    assert read_ledger(store).bad_nodes(2) == bad


def test_a_line_behind_one_that_was_cut_is_not_lost(tmp_path: Path) -> None:
    """As when the disk was full for a moment: the job would be submitted again, and run twice."""
    store = Store(tmp_path)
    book = read_ledger(store)
    book.record_intent(intent("a"))
    with open(store.study("s").launches, "a") as file:
        file.write('{"event": "int')
    book.record_intent(intent("b"))
    book.record_submitted(book.submissions["b"], "13")
    assert read_ledger(store).submissions["b"].job == "13"


@pytest.mark.parametrize("label", ["clip laion 1M", "a\n#SBATCH --uid=0", "lr=0.1 'x' $(y) %j"])
def test_a_job_name_is_one_plain_word(label: str) -> None:
    name = job_name("ft5", label, "size scaling", "c0ffee-30e858", 1)
    assert name.startswith("ft5.") and name.endswith(".size-scaling.c0ffee-30e858.1")
    assert not set(name) & set(" \n#'$()%")
