"""A grid that gives a run fewer minutes than it takes on a fast card is told so."""

from pathlib import Path

import pytest

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.store.finished_costs import finished_times, make_plan_without_data
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.study.study_file import load_study
from hpc_xfer.study.summary.given_minutes import given_minutes_notes
from hpc_xfer.system import atomic_files
from tests.fabricated import record, trials

GRID = """
name: minutes
pretrain: [{method: clip, arch: RN50, source: laion, samples: 15M, epochs: 16}]
finetune: {datasets: [cifar100, pets], shots: [1, full], mode: [ft, lp], epochs: 100, lr: 1e-3}
resources:
  pretrain: {gpus: 8, minutes: PRETRAIN}
  finetune: {minutes: FINETUNE}
"""


A100 = Slurm(cpus_per_gpu=8, gpu_type="a100")


def notes(
    folder: Path, pretrain: str, finetune: str, slurm: Slurm = A100, grid: str = GRID
) -> list[str]:
    text = grid.replace("PRETRAIN", pretrain).replace("FINETUNE", finetune)
    (folder / "grid.yaml").write_text(text)
    study, site = load_study(folder / "grid.yaml"), Site(slurm=slurm)
    plan = make_plan_without_data(study, site, Store(folder / "store"))
    return list(given_minutes_notes(plan, slurm))


def test_the_kind_of_run_that_is_furthest_short_is_named(tmp_path: Path) -> None:
    pretrain, finetune = notes(tmp_path, "1h", "{1: 20, full: 10}")
    assert pretrain.startswith(
        "resources.pretrain.minutes gives 60 minutes to clip of RN50 on 15,000,000 samples, "
        "240,000,000 seen, which takes "
    )
    assert finetune.startswith(
        "resources.finetune.minutes gives 10 minutes to ft of RN50 on cifar100 at full data, "
        "which takes "
    )
    assert " for A100-40 with 8 CPUs; too few also for 1 other kind of run; each" in finetune
    assert finetune.endswith("give more minutes, or write auto")


@pytest.mark.parametrize(("pretrain", "finetune"), [("auto", "auto"), ("48h", "48h")])
def test_nothing_is_said_of_enough_minutes_or_of_none(
    pretrain: str, finetune: str, tmp_path: Path
) -> None:
    assert notes(tmp_path, pretrain, finetune) == []


def test_minutes_by_size_are_judged_size_by_size(tmp_path: Path) -> None:
    assert notes(tmp_path, "{15M: 48h}", "auto") == []
    [note] = notes(tmp_path, "{15M: 2h}", "auto")
    assert "resources.pretrain.minutes gives 120 minutes to clip of RN50" in note


def test_of_sizes_that_see_as_many_samples_the_one_with_fewest_minutes_is_named(
    tmp_path: Path,
) -> None:
    equal = GRID.replace("samples: 15M, epochs: 16", "samples: [1M, 15M], samples_seen: 240M")
    [note] = notes(tmp_path, "{1M: 5, 15M: 100}", "auto", grid=equal)
    assert "gives 5 minutes to clip of RN50 on 1,000,000 samples" in note
    assert "; too few also for 1 other kind of run" in note


@pytest.mark.parametrize("epochs", ["[100, 40]", "[40, 100]"])
def test_of_tuned_values_the_longest_counts(epochs: str, tmp_path: Path) -> None:
    tuned = GRID.replace("epochs: 100, lr", f"tune: {{epochs: {epochs}}}, lr")
    alone = notes(tmp_path, "auto", "10")
    assert [n.partition(";")[0] for n in notes(tmp_path, "auto", "10", grid=tuned)] == [
        n.partition(";")[0] for n in alone
    ]


def test_a_card_that_nobody_names_may_be_the_fastest(tmp_path: Path) -> None:
    [note] = notes(tmp_path, "1h", "auto", Slurm(cpus_per_gpu=8))
    assert " by the estimate for H200 with 8 CPUs; " in note
    assert notes(tmp_path, "1h", "auto", Slurm()) == []  # its CPUs may be any number


def finished(folder: Path, run: Run, seconds: float, **metrics: float) -> None:
    """Leave a run as it is when it was done on an A100 in one go."""
    store = Store(folder / "store")
    record(store, run, **metrics)
    content = atomic_files.read_json(store.run(run.id).record)
    content["timing"]["seconds"] = seconds
    content["provenance"]["ranks"] = 8
    atomic_files.write_json(store.run(run.id).record, content)


def notes_with_records(
    folder: Path, pretrain: str, finetune: str, slurm: Slurm = A100
) -> list[str]:
    text = GRID.replace("PRETRAIN", pretrain).replace("FINETUNE", finetune)
    (folder / "grid.yaml").write_text(text)
    study, store = load_study(folder / "grid.yaml"), Store(folder / "store")
    plan = make_plan_without_data(study, Site(slurm=slurm), store)
    tuned, pretrained = trials(plan, lambda recipe: recipe.mode == "ft"), plan.of("pretrain")[0]
    for number, run in enumerate(tuned):
        finished(folder, run, 60 * (100 + number))
    finished(folder, pretrained, 3600, samples_per_second=8 * 100.0)
    return list(given_minutes_notes(plan, slurm, finished_times(plan, store)))


def test_what_finished_runs_took_counts_before_the_estimate(tmp_path: Path) -> None:
    """The estimate says less than 50 minutes for all but cifar100 at full data."""
    pretrain, finetune = notes_with_records(tmp_path, "24h", "50")
    assert (
        "gives 50 minutes to ft of RN50 on pets at full data, which took 110 in the median of 3 "
        "finished runs; too few also for 3 other kinds of run; each of its jobs"
    ) in finetune
    # 240 million seen by 8 GPUs at 110 per second at most.
    assert (
        "gives 1440 minutes to clip of RN50 on 15,000,000 samples, 240,000,000 seen, which takes "
        "4,546 or more by the samples per second of 1 finished run of its kind; each"
    ) in pretrain


def test_records_that_fit_silence_the_estimate(tmp_path: Path) -> None:
    assert len(notes(tmp_path, "auto", "{1: 200, full: 10}")) == 1
    assert notes_with_records(tmp_path, "auto", "200") == []


def test_records_need_no_number_of_cpus(tmp_path: Path) -> None:
    assert len(notes_with_records(tmp_path, "24h", "50", Slurm())) == 2
