"""Finished runs say how long the others take."""

from pathlib import Path

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.store.finished_costs import (
    finished_times_of,
    make_plan_with_costs,
    with_finished_costs,
)
from hpc_xfer.store.launched_study import plan_in_store, prepare_store, read_launched
from hpc_xfer.store.store import Store
from hpc_xfer.study.cost_estimate import CostKind, RunCosts, Speed
from hpc_xfer.study.plan import Plan, Run
from hpc_xfer.study.plan_summary import minutes_from
from hpc_xfer.system import atomic_files
from tests.fabricated import GRID, make, record

GPU = Speed(10e12, cores=4)


def took(store: Store, run: Run, seconds: float, **provenance: object) -> None:
    record(store, run)
    content = atomic_files.read_json(store.run(run.id).record)
    content["timing"]["seconds"] = seconds
    content["provenance"] |= provenance
    atomic_files.write_json(store.run(run.id).record, content)


def estimated(folder: Path, speed: Speed = GPU) -> tuple[Plan, Store]:
    _, plan, store = make(folder, GRID)
    return plan.with_costs(RunCosts({}, speed)), store


def measured(plan: Plan, store: Store) -> dict[CostKind, float]:
    costs = with_finished_costs(plan, store).costs
    assert costs is not None
    return dict(costs.measured)


def test_a_kind_takes_the_median_of_its_finished_runs(tmp_path: Path) -> None:
    plan, store = estimated(tmp_path)
    runs = [r for r in plan.of("finetune") if (r.spec["dataset"], r.spec["shots"]) == ("digits", 1)]
    for run, seconds in zip(runs, (100, 10, 20), strict=False):
        took(store, run, seconds)
    refined = with_finished_costs(plan, store)
    assert measured(plan, store) == {("RN50", "digits", "1", "ft", ""): 20.0}
    assert refined.needs(runs[3])[0] * 60 == 30.5
    assert [run.id for run in refined.runs] == [run.id for run in plan.runs]
    assert minutes_from(refined) == "from 3 finished runs, else estimated"


def test_an_empty_store_leaves_the_estimate(tmp_path: Path) -> None:
    plan, store = estimated(tmp_path)
    assert with_finished_costs(plan, store) == plan
    assert minutes_from(plan).startswith("estimated for 10 TFLOP/s, with the size of digits, mnist")


def test_a_run_that_went_on_later_or_ran_on_another_device_tells_nothing(tmp_path: Path) -> None:
    plan, store = estimated(tmp_path)
    first, second, third = plan.of("finetune")[:3]
    took(store, first, 5, attempt=2)
    took(store, second, 5, gpu=None)
    assert measured(plan, store) == {}
    took(store, third, 7, attempt=1)
    assert list(measured(plan, store).values()) == [7.0]


def test_runs_on_another_card_tell_nothing_where_a_card_is_asked_about(tmp_path: Path) -> None:
    plan, store = estimated(tmp_path)
    first, second = plan.of("finetune")[:2]
    took(store, first, 5, gpu="NVIDIA A100-SXM4-80GB")
    took(store, second, 9, gpu="Tesla V100-SXM2-32GB")
    for card, seconds in (("A100-40", [5.0]), ("H100,V100-16", [9.0]), ("H100", []), (None, [7.0])):
        costs = with_finished_costs(plan, store, card).costs
        assert costs is not None and list(costs.measured.values()) == seconds
        look = store.finished_runs()
        look.of(plan.runs)
        told = finished_times_of([plan, plan], store, look, card)
        assert sum(told.left_out.values()) == (0 if card is None else 2 - len(seconds))
        assert sum(map(len, told.finetune.values())) == 2 - sum(told.left_out.values())


def test_minutes_of_the_grid_are_believed_more_than_records(tmp_path: Path) -> None:
    text = GRID + "resources: {finetune: {minutes: 3}}\n"
    study, _, store = make(tmp_path, text)
    plan = make_plan_with_costs(study, Site(), store, "slurm", {})
    took(store, plan.of("finetune")[0], 999)
    again = make_plan_with_costs(study, Site(), store, "slurm", {})
    assert again == plan
    assert again.needs(plan.of("finetune")[1]) == (3.0, 1)
    assert minutes_from(again) == "given"


def test_the_relay_cuts_the_packs_that_the_launch_showed(tmp_path: Path) -> None:
    study, _, store = make(tmp_path, GRID)
    plan = make_plan_with_costs(study, Site(slurm=Slurm(teraflops=3)), store, "slurm", {})
    prepare_store(study, plan, store)
    assert read_launched(store, study.name)[1].waves == plan.waves
    assert plan_in_store(study, store).costs == plan.costs


def test_a_study_that_an_earlier_version_launched_has_no_estimate(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, GRID)
    prepare_store(study, plan, store)
    assert read_launched(store, study.name)[1].costs is None
