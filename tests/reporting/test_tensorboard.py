"""Results in TensorBoard, read back with its own reader and through a server of it."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from hpc_xfer.errors import StoreError
from hpc_xfer.reporting.tensorboard.results_board import write_tensorboard
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.paths import StudyDir
from tests.waiting import wait_for

Row = dict[str, object]
CLIP: Row = {"label": "clip sans 8k", "method": "clip", "arch": "RN50", "source": "sans",
             "samples": 8000, "samples_seen": 16000}  # fmt: skip
SCRATCH: Row = {"label": "scratch", "method": "scratch", "arch": "RN50"}
ENCODER = ("label", "method", "arch", "source", "samples", "samples_seen", "snapshot")
SHOTS = {"1": 0.25, "5": 0.5, "10": 0.625, "full": 0.875}


def average(encoder: Row, dataset: str, shots: str, mean: float, **known: object) -> Row:
    return {**encoder, "dataset": dataset, "shots": shots, "mode": "ft", "mean": mean, "n": 3,
            "over": "draws", "missing": 0, "datasets": 1, **known}  # fmt: skip


def cell(dataset: str, shots: str, draw: int, lr: float, **known: object) -> Row:
    return {**CLIP, "dataset": dataset, "shots": shots, "mode": "ft", "draw": draw, "lr": lr,
            "lr_edge": "", "val_top1": 0.5, "train_images": 5000, "classes": 10,
            **known}  # fmt: skip


def study(
    folder: Path, averages: list[Row] | None = None, cells: list[Row] | None = None
) -> StudyDir:
    """The tables of a small study: two encoders, digits, four numbers of shots."""
    made = StudyDir(folder / "tiny")
    if averages is None:
        averages = [average(e, "digits", s, m) for e in (CLIP, SCRATCH) for s, m in SHOTS.items()]
    if cells is None:
        cells = [cell("digits", s, draw, 0.001) for s in SHOTS for draw in range(3)]
    runs: list[Row] = [
        {**CLIP, "run": "7bdda2b4fc17", "kind": "pretrain", "pretrain_lr": 0.001,
         "pretrain_seed": 1, "final_loss": 2.5, "samples_per_second": 812.5},
        {**SCRATCH, "run": "9d4ed6d089c6", "kind": "pretrain"},
        {"run": "02ab6484090b", "kind": "finetune"},
    ]  # fmt: skip
    for name, rows in (("averages", averages), ("cells", cells), ("runs", runs)):
        columns = [*ENCODER, "dataset", "shots", "mode", "mean", "std", "ci95_low", "ci95_high"]
        columns = list(dict.fromkeys([*columns, *(key for row in rows for key in row)]))
        csv_files.write(made.summary / f"{name}.csv", columns, rows)
    return made


def figure(study: StudyDir) -> Path:
    study.figures.mkdir(parents=True)
    path = study.figures / "accuracy_ft.png"
    Image.new("RGB", (30, 20), "red").save(path)
    return path


def board(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def points(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in board(folder).Scalars(tag)]


def settings(folder: Path) -> dict[str, str | float]:
    tags = board(folder).PluginTagToContent(metadata.PLUGIN_NAME)
    start = metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
    return {
        name: value.string_value if value.HasField("string_value") else value.number_value
        for name, value in start.hparams.items()
    }


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_accuracy_is_drawn_against_shots(tmp_path: Path) -> None:
    results = write_tensorboard(study(tmp_path), [])
    curve = points(results / "curves/clip-sans-8k", "accuracy, ft/digits")
    assert curve == [(1, 0.25), (5, 0.5), (10, 0.625), (500, 0.875)]  # 5000 images of 10 classes
    assert sorted(path.name for path in (results / "curves").iterdir()) == [
        "clip-sans-8k",
        "scratch",
    ]


def test_full_data_are_above_all_shots_where_no_table_says_how_many_images_they_are(
    tmp_path: Path,
) -> None:
    cells = [cell("digits", "full", 0, 0.001, classes="")]
    results = write_tensorboard(study(tmp_path, cells=cells), [])
    assert points(results / "curves/scratch", "accuracy, ft/digits")[-1] == (100, 0.875)
    text = board(results / "about").Tensors("about")[0].tensor_proto.string_val[0]
    assert "- `digits`: 100" in text.decode()


def test_an_average_without_a_complete_cell_is_no_point(tmp_path: Path) -> None:
    averages = [average(CLIP, "digits", "1", 0.25), average(CLIP, "digits", "5", 0)]
    averages[1] |= {"mean": "", "n": 0, "missing": 3}
    results = write_tensorboard(study(tmp_path, averages), [])
    assert points(results / "curves/clip-sans-8k", "accuracy, ft/digits") == [(1, 0.25)]


def test_an_encoder_on_a_data_set_is_one_row_of_hparams(tmp_path: Path) -> None:
    cells = [cell("digits", "5", draw, lr) for draw, lr in enumerate((0.01, 0.001, 0.001))]
    results = write_tensorboard(study(tmp_path, cells=cells), [])
    row = results / "finetuning/clip-sans-8k-ft-digits"
    assert settings(row) == {
        "kind": "fine-tuning", "label": "clip sans 8k", "method": "clip", "arch": "RN50",
        "source": "sans", "samples": 8000, "samples seen": 16000, "mode": "ft",
        "data set": "digits", "value chosen: lr, shots 05": 0.001,
    }  # fmt: skip
    assert points(row, "test accuracy/shots 05") == [(5, 0.5)]
    assert points(row, "validation accuracy/shots 05") == [(5, 0.5)]
    assert points(row, "test accuracy/shots full") == [(100, 0.875)]


def test_the_mean_of_data_sets_has_the_mean_of_their_validation(tmp_path: Path) -> None:
    averages = [average(CLIP, name, "5", 0.5) for name in ("digits", "mnist")]
    averages += [average(CLIP, "mean", "5", 0.5, datasets=2)]
    cells = [cell("digits", "5", 0, 0.001, val_top1=0.25), cell("mnist", "5", 0, 0.001)]
    results = write_tensorboard(study(tmp_path, averages, cells), [])
    mean = results / "finetuning/clip-sans-8k-ft-mean"
    assert points(mean, "validation accuracy/shots 5") == [(5, 0.375)]


def test_a_pre_training_is_a_row_of_hparams_with_samples_seen_as_its_step(tmp_path: Path) -> None:
    results = write_tensorboard(study(tmp_path), [])
    row = results / "pretraining/clip-sans-8k-7bdda2b4fc17"
    assert points(row, "training/final loss") == [(16000, 2.5)]
    assert points(row, "training/samples per second") == [(16000, 812.5)]
    assert settings(row).items() >= {"kind": "pre-training", "pre-training lr": 0.001}.items()
    assert len([*(results / "pretraining").iterdir()]) == 1  # scratch was not trained


def test_seeds_of_one_label_are_told_apart(tmp_path: Path) -> None:
    made = study(tmp_path)
    trained = {**CLIP, "kind": "pretrain", "final_loss": 2.5}
    runs = [{**trained, "run": f"{seed:012d}", "pretrain_seed": seed} for seed in (3, 4)]
    columns = ["run", "kind", *ENCODER, "pretrain_seed", "final_loss"]
    csv_files.write(made.summary / "runs.csv", columns, runs)
    results = write_tensorboard(made, [])
    assert sorted(path.name for path in (results / "pretraining").iterdir()) == [
        "clip-sans-8k-seed-3-000000000003", "clip-sans-8k-seed-4-000000000004",
    ]  # fmt: skip


def test_figures_are_images(tmp_path: Path) -> None:
    made = study(tmp_path)
    results = write_tensorboard(made, [figure(made)])
    (image,) = board(results / "figures").Images("figures/accuracy_ft")
    assert (image.width, image.height) == (30, 20)
    assert Image.open(BytesIO(image.encoded_image_string)).getpixel((0, 0)) == (255, 0, 0)


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    first = content(write_tensorboard(study(tmp_path / "a"), []))
    assert first and first == content(write_tensorboard(study(tmp_path / "b"), []))


def test_new_results_replace_old_ones_and_leave_the_links_alone(tmp_path: Path) -> None:
    """A running TensorBoard reads a changed run again, as its file has another name."""
    made = study(tmp_path)
    made.tensorboard.mkdir()
    link = made.tensorboard / "clip-sans-8k-7bdda2b4fc17"
    link.symlink_to("../../../runs/7bdda2b4fc17/tb")
    before = content(write_tensorboard(made, []))
    results = write_tensorboard(study(tmp_path, [average(CLIP, "digits", "1", 0.5)]), [])
    after = content(results)
    changed = "curves/clip-sans-8k"
    assert len([name for name in after if name.startswith(changed)]) == 1
    assert not {name for name in before if name.startswith(changed)} & set(after)
    assert not (results / "curves/scratch").exists()
    assert link.is_symlink()
    assert sorted(path.name for path in made.path.iterdir()) == ["summary", "tb"]


def test_names_that_are_alike_as_files_stay_apart(tmp_path: Path) -> None:
    encoders: list[Row] = [
        CLIP | {"label": name} for name in ("a/b", "a b", "A B", "..", "x" * 300)
    ]
    results = write_tensorboard(
        study(tmp_path, [average(each, "digits", "1", 0.5) for each in encoders]), []
    )
    assert len([*(results / "curves").iterdir()]) == len(encoders)


def test_tables_that_are_not_there_are_said(tmp_path: Path) -> None:
    made = StudyDir(tmp_path / "tiny")
    with pytest.raises(StoreError, match=r"runs\.csv: not found; run"):
        write_tensorboard(made, [])
    assert not made.path.exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    made = study(tmp_path)
    made.tensorboard.write_text("a file in the way")
    with pytest.raises(StoreError, match=r"tb/results: cannot be written \(File exists\); free"):
        write_tensorboard(made, [])
    assert sorted(path.name for path in made.path.iterdir()) == ["summary", "tb"]


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Serve a folder with TensorBoard; it answers at the address after some seconds."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    except OSError as error:
        pytest.skip(f"no port of this machine can be bound: {error}")
    command = [sys.executable, "-m", "tensorboard.main", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--logdir", str(folder), "--load_fast", "false"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def asked(address: str, data: Mapping[str, object] | None = None) -> Any:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_tensorboard_lists_the_runs_and_the_rows_of_hparams(tmp_path: Path) -> None:
    made = study(tmp_path)
    results = write_tensorboard(made, [figure(made)])
    everything = {
        path.parent.relative_to(made.tensorboard).as_posix() for path in results.rglob("events*")
    }
    with server(made.tensorboard) as address:
        wait_for(lambda: runs_of(address) == everything)
        statuses = [f"STATUS_{name}" for name in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]
        found = asked(
            f"{address}/data/plugin/hparams/session_groups",
            {"allowedStatuses": statuses, "startIndex": 0, "sliceSize": 100},
        )
        curve = "run=results%2Fcurves%2Fscratch&tag=accuracy,%20ft%2Fdigits"
        shown = asked(f"{address}/data/plugin/scalars/scalars?{curve}")
        (text,) = asked(f"{address}/data/plugin/text/text?run=results%2Fabout&tag=about")
    assert sorted(group["name"] for group in found["sessionGroups"]) == [
        "results/finetuning/clip-sans-8k-ft-digits",
        "results/finetuning/scratch-ft-digits",
        "results/pretraining/clip-sans-8k-7bdda2b4fc17",
    ]
    assert "<code>digits</code>: 500" in text["text"]
    assert [(step, value) for _, step, value in shown] == [
        (1, 0.25), (5, 0.5), (10, 0.625), (500, 0.875)
    ]  # fmt: skip


def runs_of(address: str) -> set[str] | None:
    """The runs that a server lists; None while it does not answer."""
    try:
        return set(asked(f"{address}/data/runs"))
    except OSError:
        return None
