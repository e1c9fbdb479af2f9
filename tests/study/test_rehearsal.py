"""A rehearsal runs everything, in far fewer jobs than the study."""

from dataclasses import replace
from pathlib import Path

from hpc_xfer.study.cost_estimate import ImageCounts, RunCosts, Speed
from hpc_xfer.study.plan import Pack, Plan, make_plan
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.study_file import Study, load_study

GRID = Path(__file__).parent.parent.parent / "grids/size_scaling.yaml"
COUNTS = {
    "cifar100": ImageCounts(50_000, 10_000, 100, in_files=False),
    "real": ImageCounts(120_906, 52_041, 345),
    "clipart": ImageCounts(33_525, 14_604, 345),
    "eurosat": ImageCounts(16_200, 5_400, 10),
    "cct20": ImageCounts(13_553, 15_827, 15),
}  # the others are about as small as is assumed
COSTS = RunCosts(COUNTS, Speed(10e12, cores=8))


def packs(plan: Plan) -> list[Pack]:
    return [pack for wave in plan.waves for pack in wave]


def with_target(study: Study, minutes: float) -> Study:
    tune = study.resources.finetune.model_copy(update={"target_minutes": minutes})
    return replace(study, resources=study.resources.model_copy(update={"finetune": tune}))


def test_the_rehearsal_of_the_large_study_needs_few_elements() -> None:
    """49 pre-trainings, and 732 elements for 49 encoders on nine data sets."""
    study = load_study(GRID)
    real, rehearsed = (make_plan(each, COSTS) for each in (study, rehearsal_of(study)))
    assert len(rehearsed.runs) == len(real.runs) == 48_532
    assert len(packs(real)) == 13_584
    assert len(packs(rehearsed)) == 781
    assert max(pack.minutes for pack in packs(rehearsed)) <= 60


def test_packs_of_a_rehearsal_are_no_smaller_than_those_of_the_study() -> None:
    """A study with a run in each element is rehearsed with many."""
    fine = with_target(load_study(GRID), 1)
    assert len(packs(make_plan(fine))) == 48_532
    assert len(packs(make_plan(rehearsal_of(fine), COSTS))) == 781
    coarse = rehearsal_of(with_target(fine, 240))
    assert coarse.resources.finetune.target_minutes == 240
