"""The retry policy, whole: who retries which failure, with what change, and what users read."""

import pytest

from hpc_xfer.config.site import Slurm
from hpc_xfer.store import retry_policy
from hpc_xfer.store.retry_policy import RULES, Retrier, RetryRule, is_retried


def change_of(rule: RetryRule) -> str:
    return "memory x 2" if rule.doubles_memory else "time x 2" if rule.doubles_minutes else ""


def node_of(rule: RetryRule) -> str:
    return "NODE" if rule.excludes_at_once else "node" if rule.counts_against_node else ""


def test_the_whole_table() -> None:
    rows = [
        f"{kind:<19}{rule.first_retrier:<7}{change_of(rule):<11}{node_of(rule):<5}{rule.meaning}"
        for kind, rule in RULES.items()
    ]
    assert "\n".join(rows) == (
        "out of memory      relay  memory x 2      "
        "the node's memory; more memory_per_gpu helps, or fewer workers\n"
        "CUDA out of memory launch                 "
        "the GPU's memory; more GPUs per run help, or a smaller batch\n"
        "shared memory      relay                  "
        "/dev/shm is small or full; a container with more of it or a smaller batch helps\n"
        "time limit         relay  time x 2        "
        "the time ended before the next step; more minutes help\n"
        "node failure       relay             node the node went down\n"
        "preempted          relay                  a job of higher priority took the node\n"
        "hung               job               node no sign of life; the process was killed\n"
        "killed             job               node "
        "the process was killed from outside, or crashed in a library\n"
        "silent             launch            node "
        "two workers ended before they reported anything; the log says why\n"
        "gpu                job               node "
        "the GPU or its driver failed; the process ended\n"
        "no gpu             relay             NODE "
        "a GPU was given and torch could not use it; nothing ran on the CPU instead\n"
        "store              job                    the store could not be written or read\n"
        "nan                all                    "
        "the loss was not finite; a lower learning rate helps\n"
        "data               all                    "
        "the data is missing, broken, or not what the recipe asks for\n"
        "code               all                    an error in the program"
    )


@pytest.mark.parametrize(
    ("kind", "retriers"),
    [
        ("hung", ["job", "relay", "launch", "all"]),
        ("out of memory", ["relay", "launch", "all"]),
        ("time limit", ["relay", "launch", "all"]),
        ("nan", ["all"]),
        ("a class of another version", ["all"]),
    ],
)
def test_who_retries_a_failure_is_followed_by_all_who_ask_for_more(
    kind: str, retriers: list[Retrier]
) -> None:
    everybody: list[Retrier] = ["job", "relay", "launch", "all"]
    assert [by for by in everybody if is_retried(kind, by)] == retriers


def test_the_relay_retries_a_run_whose_job_ended_without_a_word() -> None:
    assert is_retried("cancelled", by="relay", lost=True)
    assert not is_retried("cancelled", by="relay")
    assert not is_retried("killed", by="job", lost=True)


def test_attempts_without_progress_are_limited_by_the_site() -> None:
    slurm = Slurm(retries=2)
    assert [retry_policy.is_exhausted(n, slurm) for n in (1, 2, 3)] == [False, False, True]


def test_time_doubles_after_each_time_limit_but_not_without_end() -> None:
    assert retry_policy.minutes_factor([]) == 1
    assert retry_policy.minutes_factor(["time limit", "killed", "time limit"]) == 4
    assert retry_policy.minutes_factor(["time limit"] * 50) == 32


def test_memory_doubles_up_to_the_sites_maximum() -> None:
    slurm = Slurm(memory_per_gpu=10, max_memory_per_gpu=35)
    assert [retry_policy.memory_per_gpu(n, slurm) for n in range(4)] == [None, 20, 35, 35]
    exhausted = [retry_policy.is_memory_exhausted(n, slurm) for n in range(4)]
    assert exhausted == [False, False, False, True]


def test_memory_cannot_grow_where_the_site_names_no_maximum() -> None:
    slurm = Slurm(memory_per_gpu=10)
    assert retry_policy.memory_per_gpu(1, slurm) is None
    assert retry_policy.is_memory_exhausted(1, slurm)


def test_other_failures_change_no_memory() -> None:
    assert retry_policy.memory_failures(["killed", "out of memory", "CUDA out of memory"]) == 1
