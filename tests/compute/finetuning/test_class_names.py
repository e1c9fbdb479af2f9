"""Class names decide how a head starts and what zero-shot is; runs notice where they change."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.run_pack import PackRunner
from hpc_xfer.config.dataset_location import DatasetEntry
from hpc_xfer.config.site import Site
from hpc_xfer.store.dataset_fingerprints import accept_words
from hpc_xfer.store.pack_file import LoadedPack
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system import atomic_files
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.tars import png


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a parent that has text."""
    store = Store(tmp_path / "store")
    tiny.finished(store, tiny.pretraining("clip"), tiny.source(tmp_path / "sans"))
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four classes whose names mean nothing, of six training and two test images."""
    for split, n, level in (("train", 6, 0), ("test", 2, 8)):
        for label in range(4):
            here = tmp_path / f"coded/{split}/k{label}"
            here.mkdir(parents=True)
            for i in range(n):
                (here / f"{i}.png").write_bytes(png(50 * label + level + i))
    return tmp_path / "coded"


def last_event(store: Store, folder: Path, run: Run, site: Site | None = None) -> dict[str, Any]:
    store.write_recipe(run)
    events: list[dict[str, Any]] = []
    runner = PackRunner(
        store,
        site or Site(datasets={"coded": str(folder)}),
        ProcessRank(),
        StopSignal(),
        lambda event: events.append(json.loads(event.to_json())),
    )
    runner.execute(LoadedPack("test", (run,), tiny.FINETUNE))
    return events[-1]


def record(store: Store, folder: Path, run: Run) -> dict[str, Any]:
    event = last_event(store, folder, run)
    assert event["event"] == "done", event
    return tiny.record(store.run(run.id))


def tuning(mode: str = "ft", **changes: Any) -> Run:
    return tiny.finetuning(tiny.pretraining("clip"), mode, dataset="coded", **changes)


def test_a_head_starts_from_zero_where_names_are_codes_and_the_record_says_so(
    store: Store, folder: Path
) -> None:
    found = record(store, folder, tuning(shots=1))
    assert found["metrics"]["head_start"] == "zero"
    assert "zeroshot_val_top1" not in found["metrics"]
    assert found["provenance"]["data"].keys() == {"dataset", "parent"}


def test_names_in_classes_json_are_used(store: Store, folder: Path) -> None:
    names = ["night", "dusk", "dawn", "day"]
    atomic_files.write_json(folder / "classes.json", names)
    found = record(store, folder, tuning(shots=1))
    assert found["metrics"]["head_start"] == "text" and "words" in found["provenance"]["data"]
    assert record(store, folder, tuning("zeroshot", shots=0))["metrics"]["n_test"] == 8


def test_a_change_of_class_names_in_a_study_is_noticed_where_text_is_used(
    store: Store, folder: Path
) -> None:
    atomic_files.write_json(folder / "classes.json", ["night", "dusk", "dawn", "day"])
    before = record(store, folder, tuning(shots=1))["provenance"]["data"]
    atomic_files.write_json(folder / "classes.json", ["night", "dusk", "dawn", "noon"])
    event = last_event(store, folder, tuning(shots=1, draw=1))
    assert event["event"] == "failed"
    assert event["message"].startswith("class names or prompts of data set 'coded' have changed: ")
    assert f"datasets check coded --accept {store.root}`" in event["message"]
    # A probe does not depend on names.
    probe = record(store, folder, tuning("lp", shots=1))["provenance"]["data"]
    assert probe["dataset"] == before["dataset"] and "words" not in probe
    accept_words(store, "coded", "0" * 64)
    assert last_event(store, folder, tuning(shots=1, draw=2))["event"] == "failed"


@pytest.mark.parametrize("names", [["night", "dusk", "dawn", "day"], ["k0", "k1", "k2", "k3"]])
def test_heads_from_zero_and_from_text_do_not_meet_in_one_cell(
    names: list[str], store: Store, folder: Path
) -> None:
    """A user names the classes after the first draws: the next draws would start from text."""
    record(store, folder, tuning(shots=1))
    site = Site(datasets={"coded": DatasetEntry(path=str(folder), class_names=tuple(names))})
    event = last_event(store, folder, tuning(shots=1, draw=1), site)
    assert event["event"] == "failed"
    assert event["message"].startswith("class names or prompts of data set 'coded' have changed: ")
    assert record(store, folder, tuning(shots=1, draw=1))["metrics"]["head_start"] == "zero"


def test_zero_shot_from_codes_is_refused(store: Store, folder: Path) -> None:
    event = last_event(store, folder, tuning("zeroshot", shots=0))
    assert event["event"] == "failed"
    assert "its class names are codes (k0, k1, ...), not words, so zero-shot" in event["message"]
