"""Pre-trainings that start from other blocks of the grid, and trials of some blocks only."""

from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.results.encoder_info import encoders_of
from hpc_xfer.store.pack_file import read_pack
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import cut_into_arrays
from hpc_xfer.study.labels import pretrain_labels
from hpc_xfer.study.plan import Plan, Run, make_plan
from hpc_xfer.study.study_file import load_study

BASE = "name: base, method: clip, arch: RN50, source: web, samples: 2k, epochs: 1"
NEXT = "method: clip, arch: RN50, source: news, samples: 2k, epochs: 1, init: base"
LP = "datasets: pets, shots: 1, draws: 1, mode: lp"


def planned(*blocks: str, finetune: str = "") -> Plan:
    lines = [f"  - {{{block}}}" for block in blocks]
    tail = [f"finetune: {finetune}"] if finetune else []
    text = "\n".join(["name: chain", "pretrain:", *lines, *tail])
    return make_plan(load_study(Path("grid.yaml"), text))


def refused(*blocks: str, finetune: str = "") -> str:
    with pytest.raises(StudyError) as error:
        planned(*blocks, finetune=finetune)
    return str(error.value)


def starts(plan: Plan) -> dict[tuple[int, int], tuple[int, int]]:
    """(samples, seed) of each run that starts from another -> (samples, seed) of that one."""

    def named(run: Run) -> tuple[int, int]:
        return run.spec["samples"], run.spec["seed"]

    return {named(run): named(run.parents[0]) for run in plan.of("pretrain") if run.parents}


def test_a_run_starts_from_the_run_of_the_named_block_with_its_seed() -> None:
    plan = planned(f"{BASE}, seed: [0, 1]", f"{NEXT.replace('2k', '3k')}, seed: [1, 0]")
    assert starts(plan) == {(3000, 1): (2000, 1), (3000, 0): (2000, 0)}


def test_all_seeds_start_from_a_block_that_has_one() -> None:
    plan = planned(f"{BASE}, seed: 7", f"{NEXT}, seed: [0, 1]")
    assert [run.parents[0].spec["seed"] for run in plan.runs if run.parents] == [7, 7]


def test_each_run_of_a_further_axis_gets_a_child() -> None:
    plan = planned(BASE.replace("2k", "[2k, 4k]"), NEXT)
    children = [run for run in plan.runs if run.parents]
    assert [run.parents[0].spec["samples"] for run in children] == [2000, 4000]
    assert len({run.id for run in children}) == 2


def test_an_axis_that_both_blocks_list_is_matched() -> None:
    plan = planned(BASE.replace("2k", "[2k, 4k]"), NEXT.replace("2k", "[4k, 2k]"))
    assert starts(plan) == {(4000, 0): (4000, 0), (2000, 0): (2000, 0)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("epochs: [1, 2]", "epochs: [1.0, 2]"),
        ("warmup_steps: [1k, 0.5k]", "warmup_steps: [1000, 500]"),
        ("source: [web, {web: 1, news: 1}]", "source: [{web: 1}, {news: 50%, web: 50%}]"),
        ("select: [null, {best: {score: 0.5}}]", "select: [null, {best: {score: 50%}}]"),
        ("caption: [txt, {keys: title}]", "caption: [null, {keys: [title]}]"),
    ],
)
def test_an_axis_is_matched_however_its_values_are_written(one: str, other: str) -> None:
    base = "method: clip, arch: RN50, source: web, samples: 2k, epochs: 1"
    defaults = [part for part in base.split(", ") if part.split(":")[0] != one.split(":")[0]]
    settings = ", ".join(defaults)
    plan = planned(f"name: base, {settings}, {one}", f"init: base, lr: 5e-4, {settings}, {other}")
    children = [run for run in plan.runs if run.parents]
    assert len(children) == 2
    for run in children:
        assert dict(run.parents[0].spec) == {k: v for k, v in run.spec.items() if k != "init"} | {
            "lr": 1e-3
        }


def test_the_name_of_a_block_is_no_part_of_a_run() -> None:
    [named], [other] = planned(BASE).runs, planned(BASE.removeprefix("name: base, ")).runs
    assert named.id == other.id


def test_the_id_of_a_run_depends_on_what_it_starts_from() -> None:
    one, two = planned(BASE, NEXT), planned(BASE.replace("2k", "4k"), NEXT)
    assert one.runs[1].spec == two.runs[1].spec
    assert one.runs[1].id != two.runs[1].id


def test_a_chain_of_three_has_waves_in_its_order_wherever_the_blocks_stand() -> None:
    last = f"{NEXT.replace('base', 'middle').replace('clip', 'supervised')}"
    plan = planned(last, f"name: middle, {NEXT}", BASE, finetune=f"{{{LP}}}")
    assert [[pack.kind for pack in wave] for wave in plan.waves] == [
        ["pretrain"], ["pretrain"], ["pretrain"], ["finetune"] * 3,
    ]  # fmt: skip
    seen: set[str] = set()
    for run in plan.runs:
        assert {parent.id for parent in run.parents} <= seen
        seen.add(run.id)


def test_a_worker_reads_a_run_with_all_that_came_before_it(tmp_path: Path) -> None:
    last = NEXT.replace("base", "middle").replace("news", "art")
    plan = planned(BASE, f"name: middle, {NEXT}", last, finetune=f"{{{LP}}}")
    store = Store(tmp_path)
    for array in cut_into_arrays(plan):
        resources = plan.resources.of(array.kind).model_dump(mode="json")
        store.write_manifest("chain", array, resources)
        for index, pack in enumerate(array.packs):
            read = read_pack(store, "chain", f"{array.id}/{index}")
            assert [run.id for run in read.runs] == [run.id for run in pack.runs]


def test_labels_and_tables_tell_the_two_apart() -> None:
    plan = planned(f"{BASE}, seed: [0, 1]", f"{NEXT.replace('news', 'web')}, seed: [0, 1]")
    assert list(dict.fromkeys(pretrain_labels(plan.of("pretrain")).values())) == [
        "clip web 2k init=none",
        "clip web 2k init=clip web 2k 2k seen",
    ]
    settings = [dict(encoder.settings) for encoder in encoders_of(plan).values()]
    assert settings[0] == {"pretrain_init": "none"}
    assert settings[-1] == {"pretrain_init": "clip web 2k 2k seen"}


def test_parents_that_differ_in_a_setting_have_labels_of_their_own() -> None:
    plan = planned(f"{BASE}, lr: [1e-3, 5e-4]", NEXT)
    labels = pretrain_labels(plan.of("pretrain"))
    assert len(set(labels.values())) == 4


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ([f"name: x, {NEXT.replace('base', 'x')}"],
         "pretrain.0.init: block 'x' cannot start from itself; name another block or weights"),
        ([f"name: x, {NEXT.replace('base', 'y')}", f"name: y, {NEXT.replace('base', 'x')}"],
         "the blocks start from each other in a circle, x -> y -> x; remove one init"),
        ([f"{BASE}, seed: [0, 1]", f"{NEXT}, seed: 2"],
         "block 'base' has no run with seed 2 to start from; add the value there, or use one of "
         "its values here: 0, 1"),
        ([BASE, NEXT.replace("RN50", "RN101")],
         "block 'base' trains arch RN50, and a run of this block has arch RN101"),
        ([BASE.replace("clip", "simclr"), f"{NEXT}, lock: text"],
         "block 'base' has no text tower, and lock: text would keep random weights"),
        ([BASE, BASE.replace("2k", "4k")],
         "pretrain.1.name: duplicate name 'base', which pretrain.0 has; write another one"),
        ([BASE.replace("base", "a b")], "'a b' is not a valid block name; use letters, digits"),
        ([BASE, NEXT, NEXT], "makes a run that pretrain.1 makes too; remove one"),
        ([NEXT.replace("base", "'@parent'")], "@parent is not a block name; write the name"),
    ],
)  # fmt: skip
def test_what_cannot_be_linked_is_refused(blocks: list[str], told: str) -> None:
    message = refused(*blocks)
    assert told in message
    assert "\n" not in message


def test_a_block_may_be_called_none() -> None:
    """Which is not what a block without init starts from."""
    assert not starts(planned(BASE.replace("base", "None"), NEXT.replace(", init: base", "")))


def test_trials_for_some_parents_only() -> None:
    more = f"[{{{LP}, parents: base}}, {{{LP.replace('lp', 'knn')}}}]"
    plan = planned(BASE, NEXT, finetune=more)
    found = {(run.parents[0].spec["source"], run.spec["mode"]) for run in plan.of("finetune")}
    assert found == {("web", "lp"), ("web", "knn"), ("news", "knn")}


def test_the_same_trial_may_be_asked_for_in_two_blocks_with_other_parents() -> None:
    both = f"[{{{LP}, parents: base}}, {{{LP}, parents: next}}]"
    assert len(planned(BASE, f"name: next, {NEXT}", finetune=both).of("finetune")) == 2
    twice = f"[{{{LP}, parents: [base, next]}}, {{{LP}, parents: next}}]"
    message = refused(BASE, f"name: next, {NEXT}", finetune=twice)
    assert "makes trials that an earlier block makes too" in message


def test_odd_parents_are_refused() -> None:
    assert "finetune.parents.0: no pretrain block is called 'bsae'; did you mean 'base'?" in (
        refused(BASE, finetune=f"{{{LP}, parents: [bsae]}}")
    )
    assert "no block has a name; write `name: ...` in it" in (
        refused(BASE.removeprefix("name: base, "), finetune=f"{{{LP}, parents: [base]}}")
    )
    zeroshot = "{datasets: pets, shots: 1, mode: zeroshot, parents: b}"
    simclr = BASE.replace("clip", "simclr").replace("base", "b")
    assert "no pre-training among its parents has the text tower" in (
        refused(BASE, simclr, finetune=zeroshot)
    )
