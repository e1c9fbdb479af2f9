"""Reasons of squeue in plain words; what nobody knows is shown as Slurm says it."""

import pytest

from hpc_xfer.monitoring.slurm_reasons import plain_reason, with_own_word


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("Resources", "not enough"),
        ("Priority", "higher priority"),
        ("Dependency", "has not ended"),
        ("DependencyNeverSatisfied", "launch again"),
        ("QOSMaxCpuPerUserLimit", "limit of your QOS"),
        ("QOSGrpGRES", "limit of your QOS"),
        ("AssocGrpJobsLimit", "limit of your account"),
        ("MaxJobsPerAccount", "limit of your account"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-4]", "down, drained or reserved"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
         "partitions", "down, drained or reserved"),
        ("BeginTime", "after a requeue"),
        ("JobHeldUser", "scontrol release"),
        ("JobHeldAdmin", "administrator"),
        ("launch failed requeued held", "a node could not start them"),
        ("launch_failed_requeued_held", "a node could not start them"),
        ("job requeued in held state", "scontrol release"),
        ("JobArrayTaskLimit", "max_running"),
        ("PartitionTimeLimit", "more time than the partition allows"),
        ("PartitionDown", "starts no jobs now"),
        ("None", "at any moment"),
        ("", "at any moment"),
    ],
)  # fmt: skip
def test_a_reason_is_told_in_plain_words(reason: str, part: str) -> None:
    assert part in plain_reason(reason)


def test_slurms_own_word_stands_behind_so_that_it_can_be_looked_up() -> None:
    assert with_own_word("Resources") == "not enough of the cluster is free (Slurm: Resources)"
    assert with_own_word("None") == "Slurm starts them at any moment"


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    assert plain_reason("Gremlins") == ""
    assert with_own_word("Gremlins") == "Gremlins"
