"""A part of a study is selected by columns, in the notation of grids."""

from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.study.plan import Plan, make_plan
from hpc_xfer.study.selected.only import part_of, selected
from hpc_xfer.study.study_file import load_study

GRID = """
name: part
pretrain:
  - {name: web, method: clip, arch: RN50, source: laion, samples: [2.7M, 5M], epochs: 1, seed: [0, 1]}
  - {method: simclr, init: web, arch: RN50, source: yfcc, samples: 5M, epochs: 1, lr: 5e-4, seed: 0}
  - {method: scratch, arch: RN50}
finetune: {datasets: [pets, dtd], shots: [1, 5, full], draws: 2, mode: [lp, knn]}
"""  # noqa: E501


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(load_study(Path("grid.yaml"), GRID))


def values(plan: Plan, only: str, column: str) -> set[object]:
    return {plan.by_id[run_id].columns.get(column) for run_id in selected(plan, [only])}


def test_columns_are_taken_together_and_values_one_or_the_other(plan: Plan) -> None:
    assert values(plan, "method=clip,shots=1|5,mode=lp", "shots") == {1, 5}
    assert values(plan, "method=clip,shots=1|5,mode=lp", "method") == {"clip"}
    assert values(plan, "method=clip,shots=1|5,mode=lp", "mode") == {"lp"}


def test_a_column_of_pretrainings_selects_them_and_their_fine_tunings(plan: Plan) -> None:
    kinds = {plan.by_id[run_id].kind for run_id in selected(plan, ["source=yfcc"])}
    assert kinds == {"pretrain", "finetune"}


@pytest.mark.parametrize(
    ("only", "column", "value"),
    [
        ("samples=2.7M", "samples", 2_700_000),
        ("samples=2700000", "samples", 2_700_000),
        ("samples=2_700_000", "samples", 2_700_000),
        ("pretrain_lr=5e-4", "pretrain_lr", 0.0005),
        ("shots=full", "shots", "full"),
        ("draw=1", "draw", 1),
    ],
)
def test_values_are_written_as_in_a_grid(plan: Plan, only: str, column: str, value: object) -> None:
    assert values(plan, only, column) == {value}


def test_the_sources_of_a_mixture_are_named_in_any_order() -> None:
    mixed = GRID.replace("source: laion", "source: {laion: 30%, yfcc: 70%}")
    plan = make_plan(load_study(Path("grid.yaml"), mixed))
    chosen = selected(plan, ["source=laion 30%+yfcc 70%"])
    assert chosen and selected(plan, ["source=yfcc 70% + laion 30%"]) == chosen
    with pytest.raises(StudyError, match=r"it is a part of 'laion 30%[+]yfcc 70%'"):
        selected(plan, ["source=laion"])


def test_none_selects_the_pretrainings_that_do_without(plan: Plan) -> None:
    """`null` is written in grids, `none` in tables; a fine-tuning follows its pre-training."""
    for none in ("none", "null"):
        assert values(plan, f"source={none}", "method") == {"scratch"}
        assert values(plan, f"pretrain_init={none}", "method") == {"clip", "scratch"}
    kinds = {plan.by_id[run_id].kind for run_id in selected(plan, ["pretrain_init=none,mode=lp"])}
    assert kinds == {"finetune"}


def test_a_second_only_adds_runs(plan: Plan) -> None:
    one, two = selected(plan, ["dataset=pets"]), selected(plan, ["dataset=dtd"])
    assert selected(plan, ["dataset=pets", "dataset=dtd"]) == one | two


def test_runs_are_selected_by_the_start_of_their_ids(plan: Plan) -> None:
    first, last = plan.runs[0].id, plan.runs[-1].id
    assert selected(plan, [f"run={first}|{last[:8]}"]) == {first, last}


def test_a_part_has_what_its_runs_start_from(plan: Plan) -> None:
    part = part_of(plan, selected(plan, ["method=simclr,mode=lp,dataset=pets,shots=1,draw=0"]))
    assert [run.spec["method"] for run in part.of("pretrain")] == [
        "clip",
        "clip",
        "simclr",
        "simclr",
    ]
    assert len(part.of("finetune")) == 2  # one for each of the two that start from `web`


@pytest.mark.parametrize(
    ("only", "told"),
    [
        ("metod=clip", "no run has a column 'metod'; did you mean 'method'?"),
        ("source=lion", "no run has source 'lion'; did you mean 'laion'?"),
        ("shots=20", "no run has shots '20'; its values are: 1, 5, full"),
        ("method=clip,source=yfcc", "no run meets all conditions; leave one out"),
        ("clip", "must be COLUMN=VALUE, such as method=clip,shots=1|5"),
        ("shots=1,5", "no run has shots '1,5'; for several, write shots=1|5"),
        ("shots=[1, full]", "no run has shots '[1, full]'; for several, write shots=1|full"),
        (
            "method=clip source=laion",
            "no run has method 'clip source=laion'; write a comma between conditions, before "
            "source=",
        ),
        ("batch=512", "no run has a column 'batch'; did you mean 'pretrain_batch'?"),
        (
            "run=fff",
            "no run has run 'fff'; write 4 or more characters of an id; `status --json` lists them",
        ),
        ("run=ffffffffffff", "no run has run 'ffffffffffff'; `status --json` lists them"),
    ],
)
def test_what_no_run_has_is_refused(plan: Plan, only: str, told: str) -> None:
    with pytest.raises(StudyError) as error:
        selected(plan, [only])
    assert str(error.value) == f"--only {only}: {told}"
