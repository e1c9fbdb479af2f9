"""k-NN accuracy during a pre-training: right, and without a trace in the training."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hpc_xfer.compute.pretraining.knn_probe import vote
from hpc_xfer.config.resources import ProbeSettings
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.tars import cut, picture_folder

PROBE: dict[str, Any] = {"probe": ProbeSettings(dataset="digits", images=100, times=4)}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("source") / "sans")


def probed(folder: RunDir) -> dict[int, float]:
    rows = map(json.loads, folder.metrics.read_text().splitlines())
    return {row["step"]: row["knn_top1_digits"] for row in rows if "knn_top1_digits" in row}


def test_the_nearest_weigh_most() -> None:
    bank = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]), dim=1)
    labels = torch.tensor([7, 2, 2])
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert vote(queries, bank, labels).tolist() == [7, 2]


@pytest.mark.parametrize("method", ["clip", "simclr", "supervised"])
def test_it_is_a_curve_and_changes_no_bit_of_the_training(
    method: str, tmp_path: Path, shards: Path
) -> None:
    run = tiny.pretraining(method)
    plain = tiny.finished(Store(tmp_path / "plain"), run, shards)
    watched = tiny.finished(Store(tmp_path / "watched"), run, shards, **PROBE)
    assert tiny.same_weights(plain, watched)
    assert probed(watched).keys() == {2, 4, 6, 8} and not probed(plain)
    assert max(probed(watched).values()) > 0.15  # chance is 0.1
    board = EventAccumulator(str(watched.tensorboard))
    board.Reload()
    points = board.Scalars("probe, by samples/knn_top1_digits")
    assert {point.step // 32: point.value for point in points} == pytest.approx(probed(watched))


def test_a_resumed_run_continues_the_curve(tmp_path: Path, shards: Path) -> None:
    run = tiny.pretraining("supervised")
    whole = tiny.finished(Store(tmp_path / "whole"), run, shards, **PROBE)
    store = Store(tmp_path / "parts")
    tiny.execute(store, run, shards, stop=tiny.StopAfter(4), **PROBE)
    assert probed(tiny.finished(store, run, shards, **PROBE)) == probed(whole)


def one_rank(number: int, ranks: int, root: Path, run: Run, shards: Path) -> None:
    place = ProcessRank(number, ranks, number)
    tiny.execute(Store(root), run, shards, place=place, **PROBE)


def test_ranks_share_the_images_and_agree(tmp_path: Path, shards: Path) -> None:
    """Of weights that stay as they began; votes may turn over the last bits of a feature."""
    run = tiny.pretraining("supervised", lr=1e-12)
    alone = tiny.finished(Store(tmp_path / "alone"), run, shards, **PROBE)
    ranks = [tiny.child(one_rank, i, 2, tmp_path / "two", run, shards) for i in range(2)]
    assert tiny.join(ranks) == [0, 0]
    both = probed(Store(tmp_path / "two").run(run.id))
    assert both == pytest.approx(probed(alone), abs=2 / 25 + 1e-9)


def test_an_unknown_data_set_is_said_by_the_run_too(tmp_path: Path, shards: Path) -> None:
    run = tiny.pretraining("supervised")
    asked: dict[str, Any] = {"probe": ProbeSettings(dataset="digit")}
    told = tiny.execute(Store(tmp_path), run, shards, **asked)[-1]
    assert told["event"] == "failed" and "data set 'digit' is unknown" in told["message"]


def test_a_damaged_image_of_the_probe_is_told_before_the_training(
    tmp_path: Path, shards: Path
) -> None:
    folder = picture_folder(tmp_path / "animals")
    cut(folder / "train/dog/7.png", 50)
    run, store = tiny.pretraining("supervised"), Store(tmp_path / "store")
    asked: dict[str, Any] = {"probe": ProbeSettings(dataset="animals")}
    told = tiny.execute(store, run, shards, datasets={"animals": folder}, **asked)[-1]
    assert told["event"] == "failed" and "train/dog/7.png: cannot be decoded" in told["message"]
    assert not store.run(run.id).metrics.exists()
