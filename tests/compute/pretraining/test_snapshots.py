"""Accuracy against samples seen, from one pre-training: its snapshots are parents too."""

import json
from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.models import encoders, weights_file
from hpc_xfer.config.recipes import Trained
from hpc_xfer.errors import StudyError
from hpc_xfer.reporting import figures, report_page
from hpc_xfer.reporting.charts.tables import snapshot_series
from hpc_xfer.results import collect_tables
from hpc_xfer.results.averages import read_averages
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.store import Store
from hpc_xfer.study import plan_summary, rehearsal
from hpc_xfer.study.plan import Plan, make_plan
from hpc_xfer.study.study_file import Study
from tests import fabricated, tiny

GRID = """
name: course
pretrain:
  - {method: clip, arch: tiny.json, source: sans, samples: 256, samples_seen: 256, batch: 32,
     lr: 3e-3, snapshots: [64, 150]}
  - {method: scratch, arch: tiny.json}
finetune: {datasets: [digits], shots: [1, 5], draws: 2, mode: [lp], solver: adamw, batch: 25,
           epochs: 3, randaugment: false, lr: 1e-2}
"""
FABRICATED = fabricated.GRID.replace("epochs: 1", "epochs: 1, snapshots: [2000, 4000]")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("source") / "sans")


def launched(folder: Path, shards: Path) -> tuple[Study, Plan, Store]:
    """A whole small study, run by the worker."""
    (folder / "tiny.json").write_text(tiny.ARCH.model_dump_json())
    asked, whole, store = fabricated.make(folder, GRID)
    for run in whole.runs:
        tiny.finished(store, run, shards)
    return asked, whole, store


def test_each_snapshot_is_a_parent_and_a_point_in_tables_and_figure(
    tmp_path: Path, shards: Path
) -> None:
    asked, whole, store = launched(tmp_path, shards)
    parent = whole.runs[0]
    folder = store.run(parent.id)
    assert {path.name for path in folder.snapshots.iterdir()} == {"64.pt", "150.pt"}
    record = tiny.record(folder)["metrics"]
    assert record["snapshots"] == {"64": 64, "150": 128}  # whole steps of 32

    summary = store.study("course").summary
    found = collect_tables.collect(whole, store, summary)
    assert (found.finished, found.cells_complete) == (2 + 4 * 4, 16)
    rows = csv_files.read(summary / "averages.csv")
    assert [(r["label"], r["samples_seen"], r["snapshot"]) for r in rows if r["shots"] == "1"] == [
        ("clip sans 256 at 64 seen", "64", "64"), ("clip sans 256 at 150 seen", "150", "150"),
        ("clip sans 256", "256", ""), ("scratch", "", ""),
    ]  # fmt: skip
    assert {(r["n"], r["over"]) for r in rows} == {("2", "draws")}
    assert len({r["mean"] for r in rows if r["shots"] == "5"}) == 4  # other weights, other numbers
    cells = csv_files.read(summary / "cells.csv")
    assert [r["snapshot"] for r in cells if r["shots"] == "1" and r["draw"] == "0"] == [
        "64", "150", "", "",
    ]  # fmt: skip
    trial = next(r for r in csv_files.read(summary / "runs.csv") if r["snapshot"] == "64")
    assert (trial["samples_seen"], trial["parent"]) == ("64", parent.id)

    html = report_page.write(asked, store.study("course")).read_text()
    assert "How does accuracy grow during pre-training? clip sans 256, linear probe (lp)" in html
    assert (store.study("course").figures / "seen_lp_clip-sans-256.svg").exists()


def test_a_snapshot_has_the_weights_of_its_step_and_survives_a_resume(
    tmp_path: Path, shards: Path
) -> None:
    run = tiny.pretraining("clip", snapshots=(64, 128, 224))
    undisturbed = tiny.finished(Store(tmp_path / "a"), run, shards)
    store = Store(tmp_path / "b")
    folder = store.run(run.id)
    events = tiny.execute(store, run, shards, stop=tiny.StopAfter(4))
    assert events[-1]["event"] == "interrupted"
    state = weights_file.read(folder.checkpoint)
    assert state is not None and state["step"] == 4
    kept = weights(folder.snapshot(128))
    assert kept.keys() == {k for k in state["objective"] if k.split(".")[0] in ("visual", "text")}
    assert all(torch.equal(kept[name], state["objective"][name]) for name in kept)
    written = {path: path.stat().st_ino for path in folder.snapshots.iterdir()}
    assert {path.name for path in written} == {"64.pt", "128.pt"}

    tiny.finished(store, run, shards)
    assert {path: path.stat().st_ino for path in written} == written  # kept, not written again
    for samples in (64, 128, 224):
        assert same(undisturbed.snapshot(samples), folder.snapshot(samples))
    assert tiny.same_weights(undisturbed, folder)


def test_snapshots_change_no_weight_of_the_product(tmp_path: Path, shards: Path) -> None:
    one, two = (
        tiny.finished(Store(tmp_path), tiny.pretraining("supervised", snapshots=asked), shards)
        for asked in (None, (64,))
    )
    assert one.id != two.id and tiny.same_weights(one, two)
    _, towers = encoders.load(two.snapshot(64))
    assert towers.classes is not None and len(towers.classes) == tiny.CLASSES


def weights(path: Path) -> dict[str, torch.Tensor]:
    state = torch.load(path, weights_only=True)
    towers = [tower for tower in ("visual", "text") if state[tower] is not None]
    return {f"{tower}.{k}": v for tower in towers for k, v in state[tower].items()}


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_a_snapshot_that_is_gone_is_named(tmp_path: Path, shards: Path) -> None:
    parent = tiny.pretraining("simclr", snapshots=(64,))
    folder = tiny.finished(Store(tmp_path), parent, shards)
    folder.snapshot(64).unlink()
    told = tiny.execute(Store(tmp_path), tiny.finetuning(parent, snapshot=64))[-1]
    assert (told["event"], told["class"]) == ("failed", "data")
    assert told["message"] == (
        f"{folder.snapshot(64)}: is missing; delete {folder.path} and launch again to repeat the "
        "pre-training"
    )


def test_a_diverged_encoder_is_no_snapshot(tmp_path: Path, shards: Path) -> None:
    run = tiny.pretraining(
        "supervised", lr=1e38, weight_decay=10.0, grad_clip=None, snapshots=(32,)
    )
    told = tiny.execute(Store(tmp_path), run, shards, log_steps=100)[-1]
    assert (told["class"], "after step 1; lower lr" in told["message"]) == ("nan", True)
    assert not Store(tmp_path).run(run.id).snapshot(32).exists()


def test_the_plan_crosses_every_trial_with_every_snapshot(tmp_path: Path) -> None:
    _, whole, _ = fabricated.make(tmp_path, FABRICATED)
    plain = fabricated.make(tmp_path, fabricated.GRID)[1]
    assert len(whole.of("finetune")) == (2 * 3 + 1) * 24
    assert len({run.id for run in whole.runs}) == len(whole.runs)
    [scratch] = [r for r in plain.of("pretrain") if r.columns["method"] == "scratch"]
    assert scratch.id in whole.by_id  # a study without snapshots keeps its names
    for pack in whole.waves[1]:
        assert len({(r.parents[0].id, r.spec.get("snapshot")) for r in pack.runs}) == 1
    packed = [run.id for wave in whole.waves for pack in wave for run in pack.runs]
    assert sorted(packed) == sorted(run.id for run in whole.runs)


def test_their_order_in_the_file_makes_no_other_run(tmp_path: Path) -> None:
    turned = FABRICATED.replace("[2000, 4000]", "[4000, 2000]")
    one, two = (fabricated.make(tmp_path, text)[1] for text in (FABRICATED, turned))
    assert one == two


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("[50]", "50 is less than one step (100 samples); raise it"),
        ("[8000]", "8,000 is not before the end of the run (8,000 samples seen, in steps of 100); "
         "the final encoder is kept anyway; remove it"),
        ("[250, 230]", "230 and 250 are in one step (100 samples); keep one"),
        ("[2000, 2000]", "2,000 and 2,000 are in one step (100 samples); keep one"),
        ("50", "50 is less than one step (100 samples); raise it"),  # one value is a list of one
    ],
)  # fmt: skip
def test_snapshots_that_cannot_be_are_refused(tmp_path: Path, asked: str, sentence: str) -> None:
    text = fabricated.ONE_CELL.replace("epochs: 1", f"epochs: 1, snapshots: {asked}")
    with pytest.raises(StudyError) as refused:
        fabricated.make(tmp_path, text)
    assert str(refused.value).endswith(f"pretrain.0.snapshots: {sentence}")


def test_a_trial_does_not_choose_its_snapshot_itself(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="follows from the `snapshots` of each pre-training"):
        fabricated.make(tmp_path, fabricated.ONE_CELL.replace("draws: 1", "draws: 1, snapshot: 5"))


def test_another_mistake_in_the_block_is_told_alone(tmp_path: Path) -> None:
    text = FABRICATED.replace("method: clip, arch: RN50", "method: clip, arch: RN51")
    with pytest.raises(StudyError) as refused:
        fabricated.make(tmp_path, text)
    assert "snapshots" not in str(refused.value)


def test_a_list_of_lists_of_snapshots_is_an_axis(tmp_path: Path) -> None:
    text = FABRICATED.replace("samples: [8000, 16000]", "samples: 8000")
    text = text.replace("[2000, 4000]", "[[2000], [2000, 4000]]")
    whole = fabricated.make(tmp_path, text)[1]
    assert [r.recipe.snapshots for r in whole.of("pretrain") if isinstance(r.recipe, Trained)] == [
        (2000,), (2000, 4000),
    ]  # fmt: skip


def test_a_rehearsal_takes_one_snapshot_after_its_first_step(tmp_path: Path) -> None:
    asked, _, _ = fabricated.make(tmp_path, FABRICATED)
    short = rehearsal.rehearsal_of(asked)
    for recipe in (r for r in short.pretrains if isinstance(r, Trained)):
        assert type(recipe).model_validate(recipe.model_dump()).snapshots == (100,)
    assert {r.spec.get("snapshot") for r in make_plan(short).of("finetune")} == {None, 100}


def test_snapshots_take_disk_and_count_as_parents(tmp_path: Path) -> None:
    asked, whole, _ = fabricated.make(tmp_path, FABRICATED)
    _, plain, _ = fabricated.make(tmp_path, fabricated.GRID)
    with_them = plan_summary.disk_bytes(Plan(whole.of("pretrain"), whole.resources))
    without = plan_summary.disk_bytes(Plan(plain.of("pretrain"), plain.resources))
    assert with_them is not None and without is not None
    # Of RN50 both towers, 4 bytes a weight.
    assert with_them - without == pytest.approx(2 * 2 * 4 * 102_007_137, rel=1e-6)
    told = plan_summary.as_json(asked, whole, set())
    labels = dict.fromkeys(run["label"] for run in told["runs"] if run["kind"] == "finetune")
    assert list(labels) == [
        "clip sans 8k at 2k seen", "clip sans 8k at 4k seen", "clip sans 8k",
        "clip sans 16k at 2k seen", "clip sans 16k at 4k seen", "clip sans 16k", "scratch",
    ]  # fmt: skip
    json.dumps(told)


def test_snapshots_that_round_to_one_text_are_said_in_full(tmp_path: Path) -> None:
    text = FABRICATED.replace("[8000, 16000]", "5_000_000")
    text = text.replace("[2000, 4000]", "[2_700_000, 2_701_000]")
    asked, whole, _ = fabricated.make(tmp_path, text)
    told = plan_summary.as_json(asked, whole, set())
    labels = {run["label"] for run in told["runs"]}
    assert {"clip sans 5M at 2700000 seen", "clip sans 5M at 2701000 seen"} <= labels


def test_a_missing_trial_of_a_snapshot_is_missing_there_alone(tmp_path: Path) -> None:
    _, whole, store = fabricated.make(tmp_path, FABRICATED)
    gone = fabricated.trials(whole, lambda r: r.snapshot == 2000)[0]
    fabricated.record_all(store, [run for run in whole.runs if run != gone])
    summary = store.study("tiny").summary
    collect_tables.collect(whole, store, summary)
    absent = csv_files.read(summary / "missing.csv")
    assert [(r["kind"], r["snapshot"], r["samples_seen"]) for r in absent] == [
        ("finetune", "2000", "2000"), ("cell", "2000", "2000"),
    ]  # fmt: skip
    partial = [r for r in csv_files.read(summary / "averages.csv") if r["missing"] != "0"]
    assert {(r["label"], r["snapshot"]) for r in partial} == {("clip sans 8k at 2k seen", "2000")}


def test_curves_over_samples_seen_end_at_the_product(tmp_path: Path) -> None:
    _, whole, store = fabricated.make(tmp_path, FABRICATED)
    fabricated.record_all(store, whole.runs)
    folder = store.study("tiny")
    collect_tables.collect(whole, store, folder.summary)
    found = snapshot_series(read_averages(csv_files.read(folder.summary / "averages.csv")))
    assert list(found) == ["clip sans 8k", "clip sans 16k"]
    assert {a.encoder.samples_seen for a in found["clip sans 16k"]} == {2000, 4000, 16000}
    drawn = figures.draw(folder.summary, folder.figures)
    assert [figure.title for figure in drawn if figure.png.name.startswith("seen_")] == [
        "How does accuracy grow during pre-training? clip sans 8k, fine-tuning (ft)",
        "How does accuracy grow during pre-training? clip sans 16k, fine-tuning (ft)",
    ]
