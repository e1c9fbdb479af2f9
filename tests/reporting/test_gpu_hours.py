from hpc_xfer.reporting.gpu_hours import gpu_hours

TWO_HOURS = {"seconds": "7200", "steps": "100"}


def test_hours_are_multiplied_by_the_ranks() -> None:
    assert gpu_hours({**TWO_HOURS, "ranks": '[{"from_step": 0, "ranks": 4}]'}) == 8


def test_a_run_that_went_on_with_other_ranks_counts_each_part_with_its_own() -> None:
    parts = '[{"from_step": 0, "ranks": 4}, {"from_step": 75, "ranks": 2}]'
    assert gpu_hours({**TWO_HOURS, "ranks": parts}) == 7


def test_a_run_of_unknown_steps_counts_its_last_ranks() -> None:
    assert gpu_hours({"seconds": "7200", "ranks": '[{"from_step": 0, "ranks": 4}]'}) == 8


def test_hours_are_unknown_without_seconds_or_ranks() -> None:
    assert gpu_hours(TWO_HOURS) is None
    assert gpu_hours({"ranks": '[{"from_step": 0, "ranks": 4}]'}) is None
