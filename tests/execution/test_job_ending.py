"""How a job ends: one row per case."""

import pytest

from hpc_xfer.execution.job_ending import EXIT_CODES, Ending, JobFacts, decide

KILLED, NAN = frozenset({"killed"}), frozenset({"nan"})
CASES: dict[str, tuple[JobFacts, Ending]] = {
    "every run has its record": (
        JobFacts(unfinished=False, time_is_up=True, failures=KILLED), "finished",
    ),
    "the time limit came after progress": (
        JobFacts(unfinished=True, time_is_up=True, progressed=True), "requeue",
    ),
    "the time was too short for one step": (
        JobFacts(unfinished=True, time_is_up=True), "time limit",
    ),
    "the time limit came, then the end of the grace": (
        JobFacts(unfinished=True, time_is_up=True, told_to_stop=True, progressed=True), "requeue",
    ),
    "preempted or cancelled": (
        JobFacts(unfinished=True, told_to_stop=True, failures=KILLED), "stopped",
    ),
    "an accident": (JobFacts(unfinished=True, failures=KILLED | NAN), "requeue"),
    "one accident too many": (
        JobFacts(unfinished=True, failures=KILLED, exhausted=True), "failed",
    ),
    "an accident after progress is always retried": (
        JobFacts(unfinished=True, failures=KILLED, exhausted=True, progressed=True),
        "requeue",
    ),
    "a failure that stays": (
        JobFacts(unfinished=True, failures=NAN, progressed=True), "failed",
    ),
    "another process works on all that is left": (
        JobFacts(unfinished=True, held=True, failures=KILLED), "held",
    ),
    "the time limit came while another process worked on all that was left": (
        JobFacts(unfinished=True, held=True, time_is_up=True, progressed=True), "held",
    ),
    "no failure, no record": (JobFacts(unfinished=True), "failed"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_job_ends_as_the_facts_demand(case: str) -> None:
    facts, ending = CASES[case]
    assert decide(facts) == ending


@pytest.mark.parametrize("failure", ["hung", "killed", "store"])
def test_accidents_are_those_that_a_new_start_may_heal(failure: str) -> None:
    facts = JobFacts(unfinished=True, failures=frozenset({failure}))
    assert decide(facts) == "requeue"


def test_exit_codes_are_those_that_slurm_and_the_relay_know() -> None:
    assert EXIT_CODES == {
        "finished": 0, "failed": 1, "time limit": 1, "requeue": 85, "stopped": 86,
        "held": 87,
    }  # fmt: skip
