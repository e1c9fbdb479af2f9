"""What a study costs, before one of its runs was ever run."""

import re
import time
from pathlib import Path

import pytest

from hpc_xfer.config.recipes import Clip, SimCLR
from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.errors import StudyError
from hpc_xfer.store.finished_costs import finished_rates, make_plan_without_data
from hpc_xfer.store.store import Store
from hpc_xfer.study.costs.chosen_card import choose_cards, with_card
from hpc_xfer.study.costs.cost_table import duration, one_line
from hpc_xfer.study.costs.gpu_rates import ASSUMED_CARD
from hpc_xfer.study.costs.pretrain_time import samples_per_second, waits_for_loading
from hpc_xfer.study.costs.ranges import Range, exactly
from hpc_xfer.study.costs.stages import FinishedTimes, Stage
from hpc_xfer.study.costs.study_cost import StudyCost, study_cost
from hpc_xfer.study.costs.training_speed import TrainingSpeed, speed_of_card, speed_of_site
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.schedule.array_jobs import arrays_to_simulate
from hpc_xfer.study.schedule.cluster import SimulatedCluster
from hpc_xfer.study.schedule.finishing_times import finishing_times
from hpc_xfer.study.study_file import load_study
from tests.fabricated import record

A100 = speed_of_card(ASSUMED_CARD)
SITE = Site(slurm=Slurm(gpu_type="a100", cpus_per_gpu=8))
CLIP = Clip(
    arch="RN50", source="laion", samples=1_000_000, samples_seen=16_000_000, precision="bf16"
)
GRID = """
name: small
pretrain:
  - {method: clip, arch: RN50, source: laion, samples: [1_000_000, 4_000_000], epochs: 8,
     precision: bf16}
  - {method: scratch, arch: RN50}
finetune: {datasets: [pets], shots: [1, full], draws: 2, mode: [lp, ft], lr: 1e-3, precision: bf16}
resources: {pretrain: {gpus: 4}}
"""


def plan(folder: Path, grid: str = GRID, site: Site = SITE) -> Plan:
    path = folder / "grid.yaml"
    path.write_text(grid)
    return make_plan_without_data(load_study(path), site, Store(folder / "store"))


def stage(cost: StudyCost, name: str) -> Stage:
    return next(each for each in cost.stages if each.name == name)


def test_clip_on_an_a100_is_as_fast_as_published() -> None:
    """OpenCLIP trained ViT-B-32 at 412 to 850 samples/s per A100, and ViT-L-14 at 79."""
    for arch, rates in {
        "ViT-B-32": (412, 850),
        "ViT-B-16": (390, 397),
        "ViT-L-14": (66, 79),
    }.items():
        told = samples_per_second(CLIP.model_copy(update={"arch": arch}), A100, loaders=8)
        assert told.low < 1.05 * rates[0] and rates[1] < 1.05 * told.high


def test_gpu_hours_follow_the_samples_seen(tmp_path: Path) -> None:
    cost = study_cost([plan(tmp_path)])
    small, large = (stage(cost, f"clip RN50 laion {size} x8").gpu_hours for size in ("1M", "4M"))
    assert 3.5 * small.low < large.low < 4.01 * small.low
    assert small.low < small.high < 8 * small.low
    assert [each.kind for each in cost.stages].count("pretrain") == 3
    assert cost.runs == 3 + 3 * 7  # a probe on all data is drawn once
    assert stage(cost, "ft full data").gpu_hours.high > stage(cost, "ft 1 shot").gpu_hours.high


def test_the_union_of_grids_counts_a_shared_run_once(tmp_path: Path) -> None:
    whole, again = plan(tmp_path), plan(tmp_path, GRID.replace("small", "other"))
    more = plan(tmp_path, GRID.replace("[1, full]", "[1, 5, full]"))
    assert study_cost([whole, again]).gpu_hours == study_cost([whole]).gpu_hours
    union = study_cost([whole, more])
    assert union.runs == len({run.id for each in (whole, more) for run in each.runs})
    assert stage(union, "clip RN50 laion 1M x8").runs == 1


def test_a_size_that_two_grids_train_on_different_gpus_needs_those_of_the_larger_job(
    tmp_path: Path,
) -> None:
    other = (
        GRID.replace("small", "other")
        .replace("gpus: 4", "gpus: 2")
        .replace("8,\n", "8, seed: 1,\n")
    )
    union = study_cost([plan(tmp_path), plan(tmp_path, other)])
    assert stage(union, "clip RN50 laion 4M x8").runs == 2 and union.largest_job == 4
    assert finishing_times(union, SITE.slurm, [union.largest_job], SimulatedCluster(4))


def test_rows_are_in_the_order_of_stages_modes_and_shots_whatever_is_done(tmp_path: Path) -> None:
    whole, more = plan(tmp_path), plan(tmp_path, GRID.replace("[1_000_000,", "[500_000,"))
    done = [run.id for run in whole.of("finetune") if run.spec["shots"] == 1][:3]
    stages = study_cost([whole.without(done), more]).stages
    kinds = [each.kind for each in stages]
    assert kinds == sorted(kinds, key=["pretrain", "finetune", "cache", "relay"].index)
    assert [each.name for each in stages if each.kind == "finetune"] == [
        "lp 1 shot", "lp full data", "ft 1 shot", "ft full data"
    ]  # fmt: skip


def test_a_gpu_waits_for_few_loading_processes() -> None:
    assert samples_per_second(CLIP, A100, loaders=1).low == 200
    assert waits_for_loading(CLIP, A100, 1) and not waits_for_loading(CLIP, A100, 16)
    small = CLIP.model_copy(update={"arch": "ViT-B-32"})
    told = [waits_for_loading(small, A100, 2, recomputes) for recomputes in (False, True)]
    assert told == [True, False]  # with activation checkpointing the GPU takes a third longer
    views = SimCLR(**CLIP.model_dump(exclude={"method"}, include={"arch", "source", "samples"}),
                   samples_seen=16_000_000)  # fmt: skip
    assert samples_per_second(views, A100, loaders=1).low <= 100  # two views of each image


def test_the_speed_is_that_of_the_site_file_before_that_of_a_card() -> None:
    def told(**slurm: object) -> TrainingSpeed:
        return speed_of_site(Slurm.model_validate(slurm), has_gpu=True, threads=1)

    assert told(gpu_type="h100").card == "H100"
    assert told(gpu_memory=141).card == "H200"
    assert told().rests_on == "FLOPs, A100-40 assumed"
    given = told(gpu_type="h100", teraflops=40).of("bf16")
    assert given.low < 40e12 < given.high
    assert speed_of_site(Slurm(), has_gpu=False, threads=4).of("fp32").high < 1e12
    assert TrainingSpeed.from_json(told(gpu_type="h100").as_json()) == told(gpu_type="h100")
    assert TrainingSpeed.from_json({"rates": {"bf16": [2, 1]}}) is None


def test_a_card_of_the_call_counts_before_the_site_and_an_unknown_one_is_refused() -> None:
    fast = Site(slurm=Slurm(teraflops=3, cpus_per_gpu=8))
    site, notes = with_card(fast, choose_cards(fast, "h100"))
    assert (site.slurm.gpu_type, site.slurm.teraflops, notes) == ("h100", None, [])
    _, notes = with_card(Site(), choose_cards(Site(), None))
    assert notes[0].startswith("an A100-40 is assumed") and len(notes) == 2
    with pytest.raises(StudyError, match="--gpu t4: unknown card; name one of v100-16,"):
        choose_cards(Site(), "t4")


def test_finished_pretrainings_of_a_kind_replace_flops(tmp_path: Path) -> None:
    whole, store = plan(tmp_path), Store(tmp_path / "store")
    first = whole.of("pretrain")[0]
    record(store, first, samples_per_second=4 * 500.0)
    path = store.run(first.id).record
    path.write_text(path.read_text().replace('"gpu": "A100"', '"gpu": "A100", "ranks": 4'))
    rates = finished_rates([whole], store, "A100-40")
    assert rates.rates == {("clip", "RN50", "bf16"): Range(0.85 * 500, 1.1 * 500)}
    assert not finished_rates([whole], store, "H100").rates
    cost = study_cost([whole.without({first.id})], A100, FinishedTimes(rates))
    hours = stage(cost, "clip RN50 laion 4M x8").gpu_hours
    seconds = hours.scaled(3600)
    assert (seconds.low, seconds.high) == pytest.approx((32e6 / 550 + 80, 32e6 / 425 + 720))
    assert cost.rests_on == "FLOPs, A100-40; 1 finished pre-training"


def test_minutes_that_the_grid_leaves_out_are_the_high_end(tmp_path: Path) -> None:
    made = plan(tmp_path)
    small, large = made.of("pretrain")[:2]
    hours = stage(study_cost([made]), "clip RN50 laion 4M x8").gpu_hours
    assert made.needs(large)[0] == pytest.approx(60 * hours.high / 4, abs=1)
    assert made.needs(small)[0] < made.needs(large)[0]
    auto = plan(tmp_path, GRID.replace("gpus: 4", "gpus: 4, minutes: auto"))
    assert auto.needs(large) == made.needs(large)


def test_a_slower_card_gets_more_minutes_for_fine_tunings_too(tmp_path: Path) -> None:
    def minutes(**slurm: object) -> float:
        made = plan(tmp_path, site=Site(slurm=Slurm.model_validate({"cpus_per_gpu": 8} | slurm)))
        return sum(pack.minutes for pack in made.waves[1])

    assert minutes(gpu_type="h100") < minutes(gpu_type="a100") < minutes(gpu_type="v100")
    assert minutes(teraflops=500) < minutes(gpu_type="h100")


def test_minutes_may_be_given_by_size(tmp_path: Path) -> None:
    by_size = "gpus: 4, minutes: {1_000_000: 90, 4M: 400}"
    made = plan(tmp_path, GRID.replace("gpus: 4", by_size))
    assert [made.needs(run)[0] for run in made.of("pretrain")] == [90, 400, 1]
    with pytest.raises(StudyError) as caught:
        plan(tmp_path, GRID.replace("gpus: 4", "minutes: {1_000_000: 90}"))
    assert "resources.pretrain.minutes: has no value for 4,000,000 samples; add" in str(
        caught.value
    )


def test_disk_and_files_stay_where_a_person_expects_them(tmp_path: Path) -> None:
    """RN50 with its text tower has 102 million weights: two products of 4 bytes each.

    A weight that is trained has 12 bytes in a checkpoint, and three are there while one is written.
    """
    cost = study_cost([plan(tmp_path)])
    large = stage(cost, "clip RN50 laion 4M x8")
    assert 0.8e9 < large.disk.low < 0.85e9
    assert large.checkpoints == pytest.approx(102.0e6 * 12 * 3, rel=0.001)
    tuned = stage(cost, "ft full data").checkpoints  # of the image tower; four work at once
    assert tuned == pytest.approx(38.3e6 * 12 * 3, rel=0.001)
    assert cost.peak_disk(1).high - cost.disk.high == pytest.approx(tuned)
    assert cost.peak_disk(4).high - cost.disk.high == pytest.approx(4 * tuned)
    assert stage(cost, "ft 1 shot").checkpoints == 0  # it is done before the first
    assert stage(cost, "lp 1 shot").files == exactly(6 * 3)
    assert stage(cost, "ft 1 shot").files == exactly(6 * 4)
    assert 24 * 4 < cost.files.low < cost.files.high < 24 * 14 + 1600


def test_what_nobody_counts_is_said_and_its_files_are_counted(tmp_path: Path) -> None:
    timm = GRID.replace("arch: RN50, source", "arch: convnext_base, source")
    cost = study_cost([plan(tmp_path, timm)])
    large = stage(cost, "clip convnext_base laion 4M x8")
    assert not large.disk_is_known and large.files == Range(11, 14)
    assert "the FLOPs of convnext_base are assumed" in cost.rests_on
    assert "assumed" not in study_cost([plan(tmp_path)]).rests_on


def test_the_cache_holds_decoded_images_and_the_features_of_each_encoder(tmp_path: Path) -> None:
    """Of pets: 7,349 images of 224 px, and 1,024 numbers for each from each of three encoders."""
    cost = study_cost([plan(tmp_path), plan(tmp_path, GRID.replace("small", "other"))])
    cache = stage(cost, "cache: images, features")
    assert cache.disk == exactly(7_349 * (3 * 224 * 224 + 3 * 4 * 1024))
    assert cache.files == exactly(4 * (2 + 3 * 2))
    assert cost.cache == cache.disk and cost.disk.low > cache.disk.low


def test_fine_tunings_at_few_shots_keep_the_test_images_alone(tmp_path: Path) -> None:
    few = GRID.replace("[1, full]", "[1, 5]").replace("[lp, ft]", "[ft]")
    assert stage(study_cost([plan(tmp_path, few)]), "cache: images, features").disk == exactly(
        3_669 * 3 * 224 * 224
    )


def test_the_projection_of_simclr_is_in_its_checkpoints_alone(tmp_path: Path) -> None:
    simclr = GRID.replace("method: clip", "method: simclr")
    cost = study_cost([plan(tmp_path, simclr)])
    images, projection = 38_316_896, 1024 * 4096 + 4096 * 4096 + 4096 * 256
    each = stage(cost, "simclr RN50 laion 4M x8")
    assert each.checkpoints == 3 * 12 * (images + projection)
    assert each.disk.low == pytest.approx(8 * images, rel=0.001)


def test_more_gpus_end_a_study_earlier_and_its_parents_first(tmp_path: Path) -> None:
    cost = study_cost([plan(tmp_path)])
    few, many = finishing_times(cost, SITE.slurm, [4, 16], SimulatedCluster(4))
    assert many.seconds.high < few.seconds.high
    pretraining = few.seconds_of("pretrain")
    assert pretraining is not None and pretraining.high < few.seconds.high
    assert cost.gpu_hours.low < few.gpu_hours.high


def test_what_is_done_leaves_the_share_of_a_parent_in_max_running(tmp_path: Path) -> None:
    """Of three parents with four runs at once the first has two, also when it is the last."""
    grid = GRID.replace("{gpus: 4}", "{gpus: 4}, finetune: {max_running: 4, target_minutes: 1}")
    whole = plan(tmp_path, grid)
    first = whole.of("pretrain")[0].id
    others = {run.id for run in whole.runs if first not in (run.id, *(p.id for p in run.parents))}
    cost = study_cost([whole.without({first, *others})], whole=[whole])
    arrays = arrays_to_simulate(cost.arrays, cost.plans, lambda seconds: seconds.high)
    assert {array.at_once for array in arrays} == {2}


def test_millions_are_written_as_such(tmp_path: Path) -> None:
    long = study_cost([plan(tmp_path, GRID.replace("epochs: 8", "epochs: 2_000_000"))])
    assert re.match(r"24 runs take \S+M to \S+M GPU-hours; ", one_line(long))


def test_the_sentence_of_a_dry_run(tmp_path: Path) -> None:
    told = one_line(study_cost([plan(tmp_path)]))
    assert told.startswith("24 runs take ")
    assert told.endswith(" files (from FLOPs, A100-40)")


def test_a_range_of_time_is_told_in_the_unit_of_its_end() -> None:
    assert duration(Range(86_400, 4 * 86_400)) == "1 to 4 days"
    assert duration(Range(600, 7_200 * 1.2)) == "0.17 to 2.4 hours"
    assert duration(Range(30, 30)) == "30 seconds"


def test_forty_thousand_runs_are_estimated_and_simulated_in_seconds(tmp_path: Path) -> None:
    grid = GRID.replace("draws: 2", "draws: 10").replace("[pets]", f"{SETS}")
    grid = grid.replace("[1, full]", "[1, 5, 10, 20, full]").replace("8,\n", "8, seed: SEEDS,\n")
    made = plan(tmp_path, grid.replace("SEEDS", str(list(range(30)))))
    assert len(made.runs) > 40_000
    begun = time.process_time()
    cost = study_cost([made])
    estimated = time.process_time()
    finishing_times(cost, SITE.slurm, [64], SimulatedCluster(64))
    simulated = time.process_time()
    assert estimated - begun < 2
    assert simulated - estimated < 2 * 10  # of the low and of the high end


SETS = ["cifar100", "dtd", "caltech101", "pets", "real", "clipart", "eurosat", "cassava"]
