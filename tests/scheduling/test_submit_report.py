"""What a launch tells of its submissions stays short, however many runs are left out."""

from hpc_xfer.scheduling.submit_report import SubmitReport, failed_before
from tests.monitoring.states import submission

RUNS = [f"{number:012x}" for number in range(2000)]


def test_of_runs_that_failed_before_five_are_named() -> None:
    lines = list(failed_before(dict.fromkeys(RUNS, "nan: the loss is nan")))
    assert len(lines) == 6
    assert lines[0] == (
        "left out: 000000000000 failed before (nan: the loss is nan); add --retry-failed to run it "
        "again"
    )
    assert lines[-1] == ("left out: 1,995 more that failed before; `status` counts them by class")


def test_one_answer_of_slurm_is_told_once_for_all_runs_that_it_refused() -> None:
    report = SubmitReport(refused={**dict.fromkeys(RUNS, "too large"), "c0ffee12ab34": "too long"})
    assert list(report.troubles()) == [
        f"left out: {' '.join(RUNS[:5])} and 1,995 more runs: too large",
        "left out: c0ffee12ab34: too long",
    ]


def test_one_run_is_told_in_the_singular() -> None:
    report = SubmitReport(submitted=[(submission("12"), 1)], live=1, deferred=1, behind_others=1)
    later = "the relay submits what is left later"
    assert list(report.sentences("a.yaml", jobs_may_submit=True))[:3] == [
        "submitted 1 run: 1 job with 1 element; 1 run was in the queue or at work already",
        f"1 run does not fit into the queue yet; {later}",
        "1 run waits for a pre-training that is at work outside the jobs that squeue shows; "
        f"{later}",
    ]
