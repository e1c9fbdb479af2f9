"""How long a study still takes, from what its runs took and from what runs now."""

from dataclasses import replace

from hpc_xfer.config.resources import FinetuneResources, PretrainResources, Resources
from hpc_xfer.monitoring import eta
from hpc_xfer.monitoring.eta import forecast
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store.submission_ledger import Element, Submission
from hpc_xfer.study.plan import Plan
from tests import tiny

ONE, TWO = (tiny.pretraining("supervised", seed=seed) for seed in (0, 1))
TRIALS = tuple(tiny.finetuning(ONE, lr=lr) for lr in (1e-3, 2e-3, 3e-3, 4e-3))
RESOURCES = Resources(
    pretrain=PretrainResources(gpus=2, minutes=10), finetune=FinetuneResources(minutes=2)
)
PLAN = Plan((ONE, TWO, *TRIALS), RESOURCES)
WAITS, FAILED = RunStatus("pending", "Priority"), RunStatus("failed", "nan")
GROUP = ("digits", "5")


def time_left(*statuses: RunStatus) -> eta.TimeLeft:
    return forecast(PLAN, {run.id: status for run, status in zip(PLAN.runs, statuses, strict=True)})


def done(seconds: float) -> RunStatus:
    return RunStatus("done", seconds=seconds)


def running(seconds: float, index: int = 0) -> RunStatus:
    array = Submission("s", "x", "finetune", "b", 9, "2026-01-02T03:04:05+00:00", "h", "ada")
    element = Element(replace(array, job="13"), index, 0)
    beat = {"step": 1, "total": 9, "eta_seconds": seconds, "age": 0.0}
    return RunStatus("running", element=element, progress=beat)


def test_where_nothing_runs_nobody_knows() -> None:
    left = time_left(*[WAITS] * 6)
    assert (left.study, left.processes, dict(left.groups)) == (None, 0, {})


def test_the_longest_pre_training_or_all_the_work_holds_the_study_up() -> None:
    """2 processes; 100 s x 2 + at most 10 min x 2 + 4 x 2 min of the grid."""
    left = time_left(running(100), *[WAITS] * 5)
    assert left.processes == 2
    assert round(left.study or 0) == (100 * 2 + 600 * 2 + 4 * 120) / 2
    assert round(time_left(running(9000), *[done(1)] * 5).study or 0) == 9000


def test_what_finished_tells_how_long_its_like_will_take() -> None:
    left = time_left(done(60), WAITS, done(5), done(7), running(3), WAITS)
    assert round(left.study or 0) == 60 * 2 + 3 + 6
    assert round(left.groups[GROUP] or 0) == 3 + 6


def test_packs_at_work_share_what_is_left() -> None:
    left = time_left(done(60), done(60), running(4, 0), running(4, 1), WAITS, done(6))
    assert left.processes == 2
    assert round(left.groups[GROUP] or 0) == (4 + 4 + 6) / 2


def test_what_failed_is_not_waited_for() -> None:
    assert round(time_left(done(60), FAILED, running(4), FAILED, FAILED, FAILED).study or 0) == 4


def test_time_that_passed_since_a_run_spoke_is_taken_off() -> None:
    beat = {"eta_seconds": 100, "age": 30.0}
    assert eta.reported_seconds(beat) == 70
    assert eta.reported_seconds({**beat, "age": 1e9}) == 0
    assert eta.reported_seconds({"step": 0, "age": 0.0}) is None


def test_durations_are_told_as_people_do() -> None:
    told = [eta.duration(seconds) for seconds in (5, 90, 7200, 200_000)]
    assert told == ["5 s", "2 min", "2.0 h", "2.3 d"]
