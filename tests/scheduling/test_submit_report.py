"""What a launch tells of its submissions stays short, however many runs are left out."""

from hpc_xfer.scheduling.submit_report import SubmitReport, failed_before

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
