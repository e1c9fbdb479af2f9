"""What a plan says of GPUs that would wait for their loading processes, and of fp32."""

from dataclasses import replace
from pathlib import Path

from hpc_xfer.study.cost_estimate import ImageCounts, RunCosts, Speed
from hpc_xfer.study.loading_speed import speed_notes, starving
from hpc_xfer.study.plan import Plan
from tests.fabricated import make

GRID = """
name: fast
pretrain:
  - {method: clip, arch: RN50, source: photos, samples: 4096, epochs: 1, precision: bf16}
finetune: {datasets: [pets], shots: [full], draws: 1, mode: [MODE], precision: bf16MORE}
resources: {pretrain: {workers: WORKERS}}
"""


def plan(folder: Path, cores: int = 8, workers: str = "null", mode: str = "ft") -> Plan:
    more = ", lr: 1e-3" if mode == "ft" else ""
    grid = GRID.replace("WORKERS", workers).replace("MODE", mode).replace("MORE", more)
    counts = {"pets": ImageCounts(3_680, 3_669, 37)}
    return make(folder, grid)[1].with_costs(RunCosts(counts, Speed(10e12, cores)))


def test_one_loading_process_starves_a_gpu_and_the_way_out_is_more_cpus(tmp_path: Path) -> None:
    case = starving(plan(tmp_path, cores=1, mode="lp"), None)[0]
    assert (case.what, case.workers) == ("clip of RN50", 1)
    assert case.delivered == 200  # a photo takes 5 ms
    assert 500 < case.taken < 1500
    assert str(case).startswith(
        "clip of RN50: about 200 images/s come from 1 loading process, and the"
    )
    assert "so it would wait" in str(case)
    assert str(case).endswith(
        "; give each GPU 5 cores (cpus_per_gpu in the site file), and set "
        "resources.pretrain.workers to 4"
    )


def test_cores_that_stay_idle_are_used_first(tmp_path: Path) -> None:
    case = starving(plan(tmp_path, cores=16, workers="2", mode="lp"), None)[0]
    assert str(case).endswith("; set resources.pretrain.workers to 4")


def test_a_rank_that_loads_by_itself_is_one_process(tmp_path: Path) -> None:
    case = starving(plan(tmp_path, cores=16, workers="0", mode="lp"), None)[0]
    assert case.delivered == 200 and str(case).endswith("; set resources.pretrain.workers to 4")


def test_enough_loading_processes_are_not_worth_a_word(tmp_path: Path) -> None:
    assert starving(plan(tmp_path, cores=8, mode="lp"), None) == []


def test_dropped_patches_and_locked_towers_take_more_images(tmp_path: Path) -> None:
    taken = {}
    for more in ("", ", patch_dropout: 0.5", ", init: openai, lock: image"):
        grid = GRID.replace("RN50", "ViT-B-32").replace("bf16}", f"bf16{more}}}")
        grid = grid.replace("WORKERS", "1").replace("MODE", "lp").replace("MORE", "")
        costs = RunCosts({"pets": ImageCounts(3_680, 3_669, 37)}, Speed(10e12, 8))
        taken[more] = starving(make(tmp_path, grid)[1].with_costs(costs), None)[0].taken
    whole, half, locked = taken.values()
    assert half > 1.3 * whole  # the text tower stays
    assert locked > 1.5 * whole


def test_randaugment_starves_a_small_encoder_on_a_fast_gpu(tmp_path: Path) -> None:
    """A worker makes 180 images/s, whatever the encoder."""
    found = starving(plan(tmp_path, cores=4), teraflops=100)
    assert [case.what for case in found] == ["clip of RN50", "ft of RN50 on pets"]
    assert found[1].delivered == 3 * 180


def test_fine_tunings_that_share_a_gpu_share_its_cores(tmp_path: Path) -> None:
    alone = plan(tmp_path, cores=8)
    finetune = alone.resources.finetune.model_copy(update={"per_gpu": 4})
    shared = replace(alone, resources=alone.resources.model_copy(update={"finetune": finetune}))
    cases = [starving(each, teraflops=300)[-1] for each in (alone, shared)]
    assert [case.workers for case in cases] == [7, 1]
    assert cases[1].delivered == 4 * 180


def test_fp32_on_gpus_is_said_once(tmp_path: Path) -> None:
    mixed = plan(tmp_path, mode="lp")
    assert list(speed_notes(mixed, None)) == []
    runs = tuple(replace(run, recipe=run.recipe.model_copy(update={"precision": "fp32"}))
                 for run in mixed.runs)  # fmt: skip
    notes = list(speed_notes(replace(mixed, runs=runs), None))
    assert len(notes) == 1
    assert notes[0].startswith("1 pre-training and ") and "`precision: bf16` or tf32" in notes[0]


def test_without_gpus_nothing_is_said(tmp_path: Path) -> None:
    here = plan(tmp_path, cores=1)
    cpus = here.with_costs(RunCosts({}, Speed(0.02e12, 1, has_gpu=False)))
    assert list(speed_notes(cpus, None)) == []
