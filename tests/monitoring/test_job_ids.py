"""Ids of jobs are read as squeue and sacct print them."""

import pytest

from hpc_xfer.monitoring.job_ids import read_job_id


def elements(text: str, most: int = 12) -> list[int] | None:
    """The elements of 12 that an id names; None: the job as a whole."""
    found = read_job_id(text)
    assert found is not None and found.job == "10"
    return None if found.is_whole else [index for index in range(most) if found.has(index)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10", None),
        ("10.batch", None),
        ("10_3", [3]),
        ("10_3.batch", [3]),
        ("10_[0-3%4]", [0, 1, 2, 3]),
        ("10_[0,2-5]", [0, 2, 3, 4, 5]),
        ("10_[2-9:3]", [2, 5, 8]),
        ("10_[7]", [7]),
        ("10_[0,3,...", [0, 3, 4, 5, 6, 7, 8, 9, 10, 11]),  # squeue cuts long lists
        ("10_[0,3-8,...%2]", [0, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_an_id_names_a_job_or_elements_of_it(text: str, expected: list[int] | None) -> None:
    assert elements(text) == expected


@pytest.mark.parametrize("text", ["", "ten", "10_", "10_x", "10-3", "ft5.clip.s.c0ffee.1"])
def test_what_is_no_id_is_told_apart(text: str) -> None:
    assert read_job_id(text) is None
