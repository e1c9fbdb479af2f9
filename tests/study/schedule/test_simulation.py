"""The simulated cluster starts jobs as Slurm does; every time here can be worked out by hand."""

from dataclasses import replace

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.study.costs.ranges import NOTHING, exactly
from hpc_xfer.study.schedule.array_jobs import SimulatedArray
from hpc_xfer.study.schedule.cluster import SimulatedCluster
from hpc_xfer.study.schedule.simulation import simulate
from hpc_xfer.study.schedule.timeline import Timeline

AT_ONCE = SimulatedCluster(
    gpus=2, scheduler_seconds=NOTHING, relay_seconds=NOTHING, signal_seconds=0
)


def array(*seconds: float, gpus: int = 1, stage: str = "work", **more: object) -> SimulatedArray:
    return replace(SimulatedArray(stage, gpus, seconds), **more)  # type: ignore[arg-type]  # any field


def run(*arrays: SimulatedArray, **cluster: object) -> Timeline:
    return simulate(arrays, replace(AT_ONCE, **cluster))  # type: ignore[arg-type]  # any field


def test_nothing_takes_no_time() -> None:
    assert run().finished == 0


def test_elements_share_the_gpus_in_turn() -> None:
    line = run(array(10, 10, 10))
    assert line.finished == 20
    assert line.busy == ((0, 2), (10, 1), (20, 0))
    assert line.gpu_seconds == 30
    assert line.mean_busy(parts=2) == [2, 1]


def test_a_child_waits_for_all_elements_of_its_parent() -> None:
    line = run(array(10, 25, stage="pretrain"), array(5, stage="finetune", parents=(0,)))
    assert line.stage_ends == {"pretrain": 25, "finetune": 30}


def test_no_more_elements_run_at_once_than_the_array_allows() -> None:
    assert run(array(10, 10, 10, at_once=1)).finished == 30


def test_arrays_of_a_lane_run_one_after_another() -> None:
    assert run(array(10), array(10), gpus=2).finished == 10
    assert run(array(10), array(10, after=0), gpus=2).finished == 20


def test_parts_of_a_limited_array_run_one_after_another() -> None:
    """Of four elements two fit into one call of sbatch, each of which runs one at a time."""
    assert run(array(10, 10, 10, 10, at_once=1), array_size=2).finished == 40
    assert run(array(10, 10, 10, 10), array_size=2).finished == 20


def test_a_later_job_goes_first_where_it_delays_no_earlier_one() -> None:
    """The second needs both GPUs, of which one is taken for 100 s at most."""
    long = array(100, stage="long", limit=100)
    both = array(10, gpus=2, stage="both", limit=10)
    short = array(50, stage="short", limit=100)
    assert run(long, both, short).stage_ends == {"short": 50, "long": 100, "both": 110}
    slow = replace(short, limit=200)  # it might still run when the second could start
    assert run(long, both, slow).stage_ends == {"long": 100, "both": 110, "short": 160}


def test_scheduling_and_the_start_of_a_job_take_time() -> None:
    line = run(array(10, start=3), scheduler_seconds=exactly(2), end_seconds=exactly(1))
    assert line.worked == 2 + 3 + 10 + 1
    assert run(array(10), queue_wait=exactly(600)).finished == 610


def test_the_study_ends_with_its_relay() -> None:
    line = run(array(10), relay_seconds=exactly(7))
    assert (line.worked, line.finished) == (10, 17)


def test_a_job_longer_than_its_limit_is_requeued_and_goes_on() -> None:
    """Of 200 s, 20 are for saving, and each start takes 5."""
    line = run(array(300, start=5, limit=200), signal_seconds=20, requeue_seconds=60)
    assert line.requeued == 1
    assert line.finished == (5 + 175) + 60 + (5 + 125)


def test_a_job_that_starts_a_million_times_is_simulated_in_large_steps() -> None:
    """Each start takes 5 s and is followed by a pause of 60; it works 175 s."""
    many = 1_000_000
    line = run(array(175 * many, start=5, limit=200), signal_seconds=20, requeue_seconds=60)
    assert line.gpu_seconds == pytest.approx(many * (5 + 175), rel=0.001)
    assert line.finished == pytest.approx(many * (5 + 175 + 60), rel=0.001)
    assert line.requeued == many - 1 and len(line.busy) < 20_000


def test_a_limit_too_short_for_any_work_ends_all_the_same() -> None:
    assert run(array(100, limit=10), signal_seconds=120).requeued == 1


def test_what_does_not_fit_into_the_queue_is_submitted_when_a_job_has_ended() -> None:
    """Three elements fit beside the relay; it comes after 5 s, when both GPUs are free again."""
    line = run(array(*[10] * 6), most_jobs=4, relay_seconds=exactly(5))
    assert line.stage_ends == {"work": 20 + 5 + 20}
    assert run(array(*[10] * 6)).worked == 30


def test_a_child_is_submitted_after_its_parent_whatever_the_limit() -> None:
    arrays = [array(10, stage="a"), array(10, 10, stage="b", parents=(0,))]
    line = run(*arrays, most_jobs=2)
    assert line.stage_ends["a"] < line.stage_ends["b"]


def test_a_queue_with_room_for_the_relay_alone_is_refused() -> None:
    with pytest.raises(StudyError, match="takes 1 job of yours, and a study needs two: the relay"):
        run(array(10), most_jobs=1)
    assert run(most_jobs=1).finished == 0  # nothing is left to submit


def test_preemption_costs_work_and_a_seed_makes_it_the_same_again() -> None:
    day = array(*[86_400] * 20, lost_seconds=600)
    calm = run(day, gpus=20)
    rough = run(day, gpus=20, preempt_per_day=2, seed=1)
    assert rough == run(day, gpus=20, preempt_per_day=2, seed=1)
    assert rough != run(day, gpus=20, preempt_per_day=2, seed=2)
    assert 20 < rough.preempted < 80
    assert rough.finished > calm.finished
    assert rough.gpu_seconds > calm.gpu_seconds == 20 * 86_400


def test_a_job_larger_than_the_cluster_is_refused() -> None:
    with pytest.raises(StudyError, match=r"a job needs 8 GPUs and there are 2; give --gpus 8 or"):
        run(array(10, gpus=8))
