"""Every mode for every kind of parent: what its record holds, and which labels it used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc_xfer.store.store import Store
from tests import tiny

METHODS = ("clip", "siglip", "simclr", "supervised", "scratch")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a parent of each method."""
    folder = tmp_path_factory.mktemp("store")
    source = tiny.source(folder / "sans")
    for method in METHODS:
        tiny.finished(Store(folder), tiny.pretraining(method), source)
    return Store(folder)


def run(store: Store, method: str, mode: str, **changes: Any) -> dict[str, Any]:
    return tiny.record(
        tiny.finished(store, tiny.finetuning(tiny.pretraining(method), mode, **changes))
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shots", [1, "full"])
def test_a_probe_of_any_parent_converges_along_its_whole_path(
    store: Store, method: str, shots: int | str
) -> None:
    record = run(store, method, "lp", shots=shots, path={"low": 1e-4, "high": 1.0, "count": 5})
    path = record["path"]
    assert path["key"] == "l2" and path["converged"] == [True] * 5
    assert len(path["val_top1"]) == len(path["test_top1"]) == len(path["gradient_norm"]) == 5
    used = {1: (10, 10), "full": (719, 179)}[shots]
    metrics = record["metrics"]
    assert (metrics["train_images"], metrics["n_val"]) == used
    assert metrics["labels"] == sum(used) and metrics["n_test"] == 899


@pytest.mark.parametrize("method", METHODS)
def test_neighbors_and_lp_ft_work_for_any_parent(store: Store, method: str) -> None:
    near = run(store, method, "knn", shots=5)["path"]
    assert near["values"] == [1, 2, 5, 10, 20, 50]
    found = run(store, method, "lp-ft", batch_norm="recalibrate")["metrics"]
    assert 0 < found["probe_l2"] <= 100 and 0 <= found["probe_val_top1"] <= 1
    assert 0 <= found["test_top1"] <= 1


@pytest.mark.parametrize("method", ["clip", "siglip"])
def test_zero_shot_uses_no_label(store: Store, method: str) -> None:
    metrics = run(store, method, "zeroshot", shots=0)["metrics"]
    assert (metrics["labels"], metrics["train_images"], metrics["n_val"]) == (0, 0, 0)
    assert 0 <= metrics["test_top1"] <= metrics["test_top5"] <= 1


def test_zero_shot_of_a_parent_without_text_is_an_error(store: Store) -> None:
    told = tiny.execute(store, tiny.finetuning(tiny.pretraining("scratch"), "zeroshot", shots=0))
    assert told[-1]["event"] == "failed" and "has no text tower" in told[-1]["message"]


def test_ridge_may_validate_by_leaving_images_out(store: Store) -> None:
    record = run(store, "clip", "lp", solver="ridge", validation="loo")
    assert record["metrics"]["labels"] == 50 and record["metrics"]["n_val"] == 0
    assert len(record["path"]["val_top1"]) == 45 and "gradient_norm" not in record["path"]


def test_the_hits_of_a_probe_are_a_row_per_value(store: Store) -> None:
    finished = tiny.finished(store, tiny.finetuning(tiny.pretraining("clip"), "lp"))
    bits = np.unpackbits(np.load(finished.hits), axis=-1, count=899)
    expected = tiny.record(finished)["path"]["test_top1"]
    assert bits.mean(axis=1).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_paper_protocol_reports_the_best_epoch_on_test_and_its_bias(store: Store) -> None:
    record = run(store, "clip", "ft", select="test", warmup_cap=False, decay_all=True)
    metrics = record["metrics"]
    assert metrics["epochs_measured"] == 3 and 1 <= metrics["best_epoch"] <= 3
    assert metrics["test_top1"] == pytest.approx(metrics["test_top1_by_test"])
    bias = metrics["test_top1_by_test"] - metrics["test_top1_by_val"]
    assert metrics["selection_bias"] == pytest.approx(bias) and bias >= 0


@pytest.mark.parametrize("batch_norm", ["train", "frozen", "recalibrate"])
def test_each_treatment_of_batch_norm_gives_a_record(store: Store, batch_norm: str) -> None:
    assert run(store, "simclr", "ft", batch_norm=batch_norm)["recipe"]["batch_norm"] == batch_norm


def test_records_are_the_same_alone_and_after_other_runs(store: Store, tmp_path: Path) -> None:
    """Features are those of whole splits, so neither draws nor order change their bits."""
    parent, other = tiny.pretraining("clip"), Store(tmp_path)
    for draw in (3, 1):
        tiny.finished(store, tiny.finetuning(parent, "lp", draw=draw))
    for name in ("encoder", "record"):
        source = getattr(store.run(parent.id), name)
        to = getattr(other.run(parent.id), name)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(source.read_bytes())
    alone = tiny.finished(other, tiny.finetuning(parent, "lp", draw=1))
    after = store.run(alone.id)
    assert tiny.result(alone) == tiny.result(after)
    assert tiny.record(alone)["path"] == tiny.record(after)["path"]
    assert alone.hits.read_bytes() == after.hits.read_bytes()


def failure(store: Store, **changes: Any) -> str:
    events = tiny.execute(store, tiny.finetuning(tiny.pretraining("scratch"), **changes))
    assert (events[-1]["event"], events[-1]["class"]) == ("failed", "data"), events
    return str(events[-1]["message"])


def test_batches_of_one_image_are_refused_where_batch_norm_trains(store: Store) -> None:
    wanted = "write `batch: 2` or more, or `batch_norm: frozen`"
    for batch_norm in ("train", "recalibrate"):
        assert failure(store, batch=1, batch_norm=batch_norm).endswith(wanted)
    found = run(store, "scratch", "ft", batch=1, batch_norm="frozen", max_steps=3)["metrics"]
    assert found["steps"] == 3
    assert (
        run(store, "scratch", "lp", solver="adamw", batch=1, max_steps=3)["metrics"]["steps"] == 3
    )


def test_an_odd_number_of_images_in_batches_of_two_trains(store: Store) -> None:
    """The last batch of 45 images had one; at 32 pixels batch norm refused it."""
    changes = {"shots": 9, "validation": "fraction", "val_fraction": 0.5, "min_steps": None}
    found = run(store, "scratch", "ft", batch=2, epochs=1, **changes)["metrics"]
    assert found["steps"] == found["train_images"] // 2
