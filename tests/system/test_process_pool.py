"""One function over many items in many processes: all results, and no process left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.system import process_pool
from tests.conftest import ROOT
from tests.waiting import wait_for


def squared(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def refused_at_two(number: int) -> int:
    if number == 2:
        raise StudyError(f"{number} is refused")
    return number


def killed_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_gets_its_result(workers: int) -> None:
    found = dict(process_pool.results(squared, range(20), workers))
    assert {number: result for number, (result, _) in found.items()} == {
        number: number * number for number in range(20)
    }
    elsewhere = {pid for _, pid in found.values()} - {os.getpid()}
    assert bool(elsewhere) == (workers > 1)


def test_tmpdir_may_be_longer_than_the_path_of_a_socket(tmp_path: Path) -> None:
    """The fork server listens at a socket there, whose path may have 107 bytes."""
    scratch = tmp_path / ("scratch-" * 12)
    scratch.mkdir()
    code = (
        "from hpc_xfer.system import process_pool;"
        "print(sorted(process_pool.results(abs, [-1, -2, -3], workers=2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(scratch)}, cwd=ROOT,
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "[(0, 1), (1, 2), (2, 3)]\n"


def test_one_item_needs_no_other_process() -> None:
    assert list(process_pool.results(squared, [3], workers=8)) == [(0, (9, os.getpid()))]
    assert list(process_pool.results(squared, [], workers=8)) == []


def test_items_are_taken_when_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = process_pool.results(squared, items(), workers=2)
    next(results)
    assert len(taken) <= 5
    results.close()  # type: ignore[attr-defined]


def test_an_error_arrives_as_it_is_and_the_others_end() -> None:
    results = process_pool.results(refused_at_two, range(50), workers=2)
    with pytest.raises(StudyError, match="2 is refused"):
        list(results)


def test_whoever_stops_listening_leaves_no_process() -> None:
    results = process_pool.results(squared, range(50), workers=2)
    _, (_, pid) = next(results)
    results.close()  # type: ignore[attr-defined]
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.filterwarnings("default")  # Python tells of the pool that broke
def test_a_killed_process_is_named_with_the_way_out() -> None:
    with pytest.raises(DataError, match="killed, probably for its memory; run again with fewer"):
        list(process_pool.results(killed_at_two, range(50), workers=2))
