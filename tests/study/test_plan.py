"""The plan is a pure function of the study, and a run's name one of its content."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config.finetune_recipes import (
    KNN,
    AdamWProbe,
    Finetune,
    FullFinetune,
    LogisticProbe,
    ProbeThenFinetune,
    RidgeProbe,
    ZeroShot,
)
from hpc_xfer.config.recipes import (
    Architecture,
    Clip,
    Crop,
    Released,
    Scratch,
    SigLIP,
    SimCLR,
    Supervised,
)
from hpc_xfer.config.training_data.captions import Caption
from hpc_xfer.config.training_data.selection import SampleSelection
from hpc_xfer.study.cost_estimate import ImageCounts, RunCosts, Speed
from hpc_xfer.study.job_arrays import cut_into_arrays
from hpc_xfer.study.plan import Plan, Run, make_plan, restore_run
from hpc_xfer.study.study_file import load_study
from tests.fabricated import GRID

CLIP = Clip(arch="RN50", source="laion", samples=8000, samples_seen=16000)
TRIAL = FullFinetune(dataset="pets", shots=5, draw=0, mode="ft", lr=1e-3)


def of(folder: Path, text: str) -> Plan:
    path = folder / "grid.yaml"
    path.write_text(text)
    return make_plan(load_study(path))


def ids(plan: Plan) -> list[str]:
    return [run.id for run in plan.runs]


def test_ids_are_pinned() -> None:
    """A changed id means that every result on disk loses its name: bring them along, or do not."""
    parent = Run("pretrain", CLIP)
    assert parent.id == "d62371e5c501"
    assert Run("finetune", TRIAL, (parent,)).id == "216ee4c1505e"
    probe = LogisticProbe(dataset="pets", shots=5, draw=0)
    assert Run("finetune", probe, (parent,)).id == "30db7972f026"


def test_ids_of_all_kinds_of_recipes_are_pinned() -> None:
    base: dict[str, Any] = {
        "arch": "RN50",
        "source": "sans",
        "samples": 5000,
        "samples_seen": 5000,
        "batch": 100,
    }
    tiny = Architecture(
        embed_dim=4, vision_cfg={"layers": [1, 1, 1, 1], "width": 8, "timm_proj": None}
    )
    captions = Caption(templates=("a {}.",))
    released = Run("pretrain", Released(arch="RN50", weights="openai"))
    pretrainings = {
        "7eb228c9295a": SigLIP(**base, patch_dropout=0.0, init="openai", lock="image"),
        "db912ceda5a1": SimCLR(**base, batchnorm="per-gpu", ranks=2, accumulate=2),
        "2ebe5ef88578": Supervised(**base, label="fine", snapshots=(200,), weight_decay=0.0),
        "7720482819ce": Clip(**base, caption=captions),
        "cacca88ea618": Scratch(arch=tiny, seed=3),
        "77ece229f4c5": released.recipe,
    }
    place: dict[str, Any] = {"dataset": "pets", "shots": 5, "draw": 0}
    adamw = place | {"lr": 1e-3}
    trials = {
        "7fa0da6f6af6": FullFinetune(**adamw, grad_clip=None),
        "3a0fb7bed9bc": FullFinetune(**adamw, min_steps=None, decay_all=True),
        "50c639a7a87b": ProbeThenFinetune(**adamw),
        "e148712de441": AdamWProbe(**adamw, grad_clip=None, min_steps=None),
        "da6de4b6bc5d": RidgeProbe(**place),
        "c9fc7d5db142": KNN(**place, k=3),
        "4c12e5489eb9": ZeroShot(dataset="pets"),
    }
    for pinned, recipe in pretrainings.items():
        assert Run("pretrain", recipe).id == pinned
    for pinned, trial in trials.items():
        assert Run("finetune", trial, (released,)).id == pinned


def test_a_pretraining_without_clipping_is_another_run_and_can_be_read_again() -> None:
    """It was written as if nothing was said, and read back with clipping: it could never run."""
    clipped, free = (Run("pretrain", CLIP.model_copy(update={"grad_clip": c})) for c in (1.0, None))
    assert clipped.id != free.id
    assert free.spec["grad_clip"] is None and free.columns["pretrain_grad_clip"] == "none"
    again = restore_run("pretrain", json.loads(json.dumps(free.spec)), ())
    assert again.recipe == free.recipe and again.id == free.id


def test_a_fine_tuning_without_clipping_tells_it_in_tables() -> None:
    free = Run("finetune", TRIAL.model_copy(update={"grad_clip": None}), (Run("pretrain", CLIP),))
    assert "grad_clip" not in free.spec and free.columns["grad_clip"] == "none"


def test_zero_with_a_sign_makes_the_same_run(tmp_path: Path) -> None:
    plus, minus = (GRID.replace("epochs: 1", f"epochs: 1, weight_decay: {z}") for z in (0.0, -0.0))
    assert plus != minus and ids(of(tmp_path, plus)) == ids(of(tmp_path, minus)) != []


def test_runs_of_version_0_1_keep_their_ids() -> None:
    older = {"validation": "fraction", "val_seed": 0, "min_steps": None}
    trial = TRIAL.model_copy(update=older)
    assert Run("finetune", trial, (Run("pretrain", CLIP),)).id == "ea990aca06b0"


def test_the_same_study_gives_the_same_plan(tmp_path: Path) -> None:
    assert of(tmp_path, GRID) == of(tmp_path, GRID)


def test_the_order_of_keys_does_not_matter(tmp_path: Path) -> None:
    other = """
finetune: {tune: {lr: [0.0001, 0.001]}, draws: 3, shots: [1, full], datasets: [digits, mnist]}
pretrain:
  - {batch: 100, samples: [8e3, 16_000], epochs: 1.0, source: sans, arch: RN50, method: clip}
  - {arch: RN50, method: scratch}
name: tiny
"""
    assert ids(of(tmp_path, other)) == ids(of(tmp_path, GRID))


def test_neither_resources_nor_name_nor_question_change_an_id(tmp_path: Path) -> None:
    other = GRID.replace("tiny", "large").replace("Does", "Why does")
    other += "resources: {pretrain: {gpus: 4, workers: 7}, finetune: {minutes: 3, threads: 2}}\n"
    assert ids(of(tmp_path, other)) == ids(of(tmp_path, GRID))


def test_an_architecture_is_its_content_not_the_name_of_its_file(tmp_path: Path) -> None:
    content = {"embed_dim": 8, "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8}}
    text = "name: x\npretrain: [{method: scratch, arch: a.json}]\n"
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "b.json").write_text(json.dumps(dict(reversed(content.items())), indent=4))
    assert ids(of(tmp_path, text)) == ids(of(tmp_path, text.replace("a.json", "b.json")))
    (tmp_path / "b.json").write_text(json.dumps(content | {"embed_dim": 9}))
    assert ids(of(tmp_path, text)) != ids(of(tmp_path, text.replace("a.json", "b.json")))


def changed_clip() -> Iterator[Clip]:
    for key, value in {
        "arch": "RN101", "source": "redcaps", "samples": 8001, "samples_seen": 16001,
        "subset_seed": 1, "batch": 512, "lr": 2e-3, "weight_decay": 0.2, "warmup_steps": 1,
        "betas": (0.9, 0.98), "eps": 1e-6, "grad_clip": None, "crop": Crop(scale=(0.5, 1.0)),
        "flip": True, "precision": "bf16", "max_broken": 0.5, "seed": 1, "max_logit_scale": 50.0,
        "snapshots": (8000,), "accumulate": 2, "caption": Caption(keys=("title",)), "label": "kind",
        "batchnorm": "per-gpu", "ranks": 2,
        "init": "openai", "lock": "image", "patch_dropout": 0.5,
        "select": SampleSelection(above={"clip_score": 0.3}),
    }.items():  # fmt: skip
        yield CLIP.model_copy(update={key: value})


def changed_trial() -> Iterator[Finetune]:
    for key, value in {
        "dataset": "dtd", "shots": "full", "draw": 1, "mode": "lp-ft", "lr": 1e-4,
        "weight_decay": 0.0, "epochs": 1, "batch": 64, "warmup_steps": 1, "grad_clip": None,
        "label_smoothing": 0.1,
        "head": "zero", "crop": Crop(), "flip": False, "randaugment": False, "erase": 0.0,
        "batch_norm": "frozen", "val_fraction": 0.1, "val_seed": 1, "precision": "bf16", "seed": 1,
        "max_steps": 2, "snapshot": 8000, "validation": "fraction", "min_steps": 3,
        "warmup_cap": False, "layer_decay": 0.75, "drop_path": 0.1, "decay_all": True,
        "select": "test",
    }.items():  # fmt: skip
        yield TRIAL.model_copy(update={key: value})


def test_every_setting_of_a_recipe_is_part_of_its_id() -> None:
    assert len({Run("pretrain", recipe).id for recipe in [CLIP, *changed_clip()]}) == 29
    assert len(list(changed_clip())) == len(Clip.model_fields) - 1  # all but `method`
    parent = Run("pretrain", CLIP)
    assert len({Run("finetune", r, (parent,)).id for r in [TRIAL, *changed_trial()]}) == 31
    assert len(list(changed_trial())) == len(FullFinetune.model_fields)


def test_the_parent_is_part_of_the_id() -> None:
    parents = [Run("pretrain", CLIP), Run("pretrain", Scratch(arch="RN50"))]
    assert len({Run("finetune", TRIAL, (parent,)).id for parent in parents}) == 2


def test_a_run_is_restored_from_its_file_under_the_same_id(tmp_path: Path) -> None:
    for run in of(tmp_path, GRID).runs:
        spec = json.loads(json.dumps(run.spec))
        parents = tuple(restore_run(p.kind, p.spec, ()) for p in run.parents)
        assert restore_run(run.kind, spec, parents).id == run.id


def test_a_recipe_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="mystery"):
        restore_run("pretrain", {**Run("pretrain", CLIP).spec, "mystery": 1}, ())


def test_parents_stand_before_their_children_and_every_id_once(tmp_path: Path) -> None:
    made = of(tmp_path, GRID)
    assert len(set(ids(made))) == len(made.runs) == 3 + 3 * 2 * 2 * 3 * 2
    place = {run_id: i for i, run_id in enumerate(ids(made))}
    assert all(place[parent.id] < place[run.id] for run in made.runs for parent in run.parents)
    assert all(made.by_id[run.id] is run for run in made.runs)


def test_packs_share_parent_and_data_set_and_last_as_long_as_asked(tmp_path: Path) -> None:
    minutes = "resources: {finetune: {minutes: {1: 4, full: 40}, target_minutes: 10}}\n"
    made = of(tmp_path, GRID + minutes)
    first, second = made.waves
    assert [pack.kind for pack in first] == ["pretrain"] * 3
    for pack in second:
        shared = {(r.parents[0].id, r.spec["dataset"]) for r in pack.runs}
        assert len(shared) == 1
        assert (len(pack.runs), pack.minutes) in [(2, 8.0), (1, 40.0)]  # never cut below one run
    packed = [run.id for wave in made.waves for pack in wave for run in pack.runs]
    assert sorted(packed) == sorted(ids(made))


def test_all_shots_and_modes_of_a_data_set_share_its_packs(tmp_path: Path) -> None:
    text = GRID.replace("[ft]", "[ft, lp]") + "resources: {finetune: {minutes: 1}}\n"
    made = of(tmp_path, text)
    assert {len(pack.runs) for pack in made.waves[1]} == {6 + 6 + 3 + 1}
    assert {len({run.spec["shots"] for run in pack.runs}) for pack in made.waves[1]} == {2}


def test_a_pack_begins_with_its_cheap_runs(tmp_path: Path) -> None:
    text = GRID.replace("[ft]", "[ft, lp, knn, zeroshot]")
    text += "resources: {finetune: {minutes: 1, target_minutes: 60}}\n"
    for pack in of(tmp_path, text).waves[1]:
        modes = list(dict.fromkeys(run.spec["mode"] for run in pack.runs))
        assert modes in (["zeroshot", "knn", "lp", "ft"], ["knn", "lp", "ft"])


def test_estimates_cut_packs_of_about_the_length_asked(tmp_path: Path) -> None:
    costs = RunCosts({"digits": ImageCounts(5_000, 1_000, 10)}, Speed(10e12, cores=4))
    text = GRID + "resources: {finetune: {target_minutes: 20}}\n"
    plain = of(tmp_path, text)
    made = plain.with_costs(costs)
    assert {pack.minutes for pack in plain.waves[1]} == {20}  # the default of a run
    assert ids(made) == ids(plain)
    for pack in made.waves[1]:
        assert pack.minutes >= 1 and pack.minutes == int(pack.minutes)
        assert pack.minutes <= 20 or len(pack.runs) == 1
    sizes = {len(pack.runs) for pack in made.waves[1]}
    assert max(sizes) > 1 == min(sizes)  # few-shot runs share, those on all images are alone
    packed = [run.id for wave in made.waves for pack in wave for run in pack.runs]
    assert sorted(packed) == sorted(ids(made))


def test_runs_share_a_pack_where_most_of_it_is_shared_work(tmp_path: Path) -> None:
    """Features of a large data set take longer than the target: they are not computed per run."""
    costs = RunCosts({"digits": ImageCounts(1_000_000, 50_000, 10)}, Speed(10e12, cores=4))
    text = GRID.replace("[ft]", "[knn]").replace("  tune: {lr: [1e-4, 1e-3]}\n", "")
    made = of(tmp_path, text.replace("[digits, mnist]", "[digits]")).with_costs(costs)
    assert [len(pack.runs) for pack in made.waves[1]] == [4] * 3
    assert all(30 < pack.minutes < 100 for pack in made.waves[1])


def test_an_estimated_pack_asks_for_a_minute_at_least(tmp_path: Path) -> None:
    costs = RunCosts(
        {"digits": ImageCounts(10, 10, 2), "mnist": ImageCounts(10, 10, 2)}, Speed(1e18)
    )
    made = of(tmp_path, GRID.replace("[ft]", "[knn]").replace("  tune: {lr: [1e-4, 1e-3]}\n", ""))
    assert {pack.minutes for pack in made.with_costs(costs).waves[1]} == {1.0}


def test_an_array_has_one_parent_and_packs_of_about_one_length(tmp_path: Path) -> None:
    minutes = "resources: {finetune: {minutes: {1: 4, full: 40}, target_minutes: 10}}\n"
    made = of(tmp_path, GRID + minutes)
    arrays = [array for array in cut_into_arrays(made) if array.kind == "finetune"]
    assert [(len(array.packs), array.minutes) for array in arrays] == [(6, 8.0), (12, 40.0)] * 3
    for array in arrays:
        assert len({pack.parents[0].id for pack in array.packs}) == 1
        assert all(2 * pack.minutes > array.minutes for pack in array.packs)
    assert [array.shots for array in arrays] == [1, "full"] * 3


def test_an_array_of_several_shots_says_none(tmp_path: Path) -> None:
    made = of(tmp_path, GRID + "resources: {finetune: {minutes: 1}}\n")
    assert {array.shots for array in cut_into_arrays(made)} == {None}


def test_only_training_takes_the_gpus_and_minutes_of_the_grid(tmp_path: Path) -> None:
    made = of(tmp_path, GRID + "resources: {pretrain: {gpus: 8, minutes: 90}}\n")
    assert [(pack.gpus, pack.minutes) for pack in made.waves[0]] == [(8, 90), (8, 90), (1, 1)]


def test_what_is_done_is_left_out_and_the_rest_keeps_its_ids(tmp_path: Path) -> None:
    made = of(tmp_path, GRID)
    parents = {run.id for run in made.of("pretrain")}
    rest = made.without(parents)
    assert ids(rest) == ids(made)[3:]
    assert [[pack.kind for pack in wave][:1] for wave in rest.waves] == [["finetune"]]
    assert made.without(ids(made)).waves == ()
    assert made.without(["no such run"]) == made


def test_a_pack_is_named_by_its_runs(tmp_path: Path) -> None:
    packs = [pack for wave in of(tmp_path, GRID).waves for pack in wave]
    again = [pack for wave in of(tmp_path, GRID).waves for pack in wave]
    assert [pack.id for pack in packs] == [pack.id for pack in again]
    assert len({pack.id for pack in packs}) == len(packs)


@pytest.mark.slow
def test_forty_thousand_runs_fit_into_a_login_node(tmp_path: Path) -> None:
    seeds = list(range(20))
    text = f"""
name: large
pretrain: [{{method: scratch, arch: RN50, seed: {seeds}}}]
finetune:
  datasets: [{", ".join(f"d{i}" for i in range(10))}]
  shots: [1, 5, 10, 20, full]
  draws: 10
  tune: {{lr: [1e-4, 3e-4, 1e-3, 3e-3]}}
"""
    tracemalloc.start()
    made = of(tmp_path, text)
    assert len(set(ids(made))) == len(made.runs) == 40_020
    assert sum(len(pack.runs) for wave in made.waves for pack in wave) == 40_020
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6
