"""Small fine-tunings on scanned digits: record, hits, shared memory, errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.downstream import datasets
from hpc_xfer.compute.finetuning import scoring
from hpc_xfer.compute.finetuning.cache import FinetuneCache, MostRecent
from hpc_xfer.compute.models import encoders, weights_file
from hpc_xfer.compute.run_pack import PackRunner
from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.dataset_cards import card
from hpc_xfer.config.dataset_location import DatasetEntry
from hpc_xfer.config.site import Site
from hpc_xfer.store.pack_file import LoadedPack
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system import atomic_files
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.official_copies import site_entry
from tests.tars import picture_folder, png

METRICS = {
    *(f"{split}_{name}" for split in ("val", "test") for name in scoring.METRICS),
    *("n_test", "n_val", "train_images", "labels", "classes", "train_loss", "loss_steps", "steps"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with two parents: clip and scratch."""
    folder = tmp_path_factory.mktemp("store")
    source = tiny.source(folder / "sans")
    tiny.finished(Store(folder), tiny.pretraining("clip"), source)
    tiny.finished(Store(folder), tiny.pretraining("scratch"))
    return Store(folder)


def metrics(store: Store, run: Run) -> dict[str, Any]:
    found: dict[str, Any] = tiny.record(tiny.finished(store, run))["metrics"]
    return found


@pytest.mark.parametrize("mode", ["ft", "lp"])
@pytest.mark.parametrize("parent", ["clip", "scratch"])
def test_a_finetuning_leaves_its_record_and_its_hits(mode: str, parent: str, store: Store) -> None:
    kind = tiny.head if mode == "lp" else tiny.finetuning
    run = kind(tiny.pretraining(parent))
    folder = tiny.finished(store, run)
    record = tiny.record(folder)
    found = record["metrics"]
    from_text = (parent, mode) == ("clip", "ft")  # a probe starts from zero for all
    assert found.keys() == METRICS | ({"zeroshot_val_top1", "head_start"} if from_text else set())
    assert found.get("head_start") == ("text" if from_text else None)
    assert record["parents"] == [run.parents[0].id]
    assert found["n_test"] == downstream_datasets.PACKAGED["digits"].test == 899  # whole
    assert found["train_images"] == 50 and found["steps"] == 6
    bits = np.unpackbits(np.load(folder.hits), count=899)
    assert float(bits.mean()) == pytest.approx(found["test_top1"], abs=1e-12)
    labels = datasets.load(downstream_datasets.PACKAGED["digits"], None).test.labels
    per_class = np.mean([bits[labels == c].mean() for c in range(10)])
    assert per_class == pytest.approx(found["test_per_class"], abs=1e-12)
    read = record["provenance"]["data"].keys()
    assert read == {"dataset", "parent"} | ({"words"} if from_text else set())
    assert record["timing"].keys() == {"seconds", "train_seconds", "data_wait_seconds"}
    assert 0 <= record["timing"]["data_wait_seconds"] <= record["timing"]["train_seconds"]
    left = {"metrics.jsonl", "hits.npy", "record.json"}  # of 40,000 runs: quotas count files
    assert {path.name for path in folder.path.iterdir()} == left


def runner(store: Store, site: Site, stop: StopSignal | None = None) -> PackRunner:
    return PackRunner(store, site, ProcessRank(), stop or StopSignal(), lambda event: None)


def packed(*runs: Run, **resources: Any) -> LoadedPack:
    return LoadedPack("test", runs, tiny.with_changes(tiny.FINETUNE, resources))


def test_the_fingerprint_of_a_folder_is_kept_in_the_store(store: Store, tmp_path: Path) -> None:
    """The file in the store has the fingerprint that is in the record."""
    folder = picture_folder(tmp_path / "animals")
    run = tiny.head(tiny.pretraining("scratch"), dataset="animals", batch=4)
    store.write_recipe(run)
    runner(store, Site(datasets={"animals": str(folder)})).execute(packed(run))
    [note] = (store.root / "fingerprints").glob("*.json")
    record = tiny.record(store.run(run.id))
    assert record["metrics"]["test_in_train"] == 4  # its test images are training images too
    assert atomic_files.read_json(note) == {
        "schema": 1,
        "folder": str(folder),
        "fingerprint": record["provenance"]["data"]["dataset"],
        "copies": {"test_in_train": 4},
    }


@pytest.mark.parametrize("name", ["cifar100", "cassava"])
def test_a_packaged_data_set_is_trained_on_from_its_owners_form(
    name: str, store: Store, tmp_path: Path
) -> None:
    entry = DatasetEntry.model_validate_json(json.dumps(site_entry(name, tmp_path / name)))
    run = tiny.finetuning(tiny.pretraining("scratch"), "lp", dataset=name, shots=1)
    store.write_recipe(run)
    runner(store, Site(datasets={name: entry})).execute(packed(run))
    found = tiny.record(store.run(run.id))["metrics"]
    assert entry.counts is not None
    assert found["n_test"] == entry.counts.test
    assert found["train_images"] == len(card(name).classes)


def test_the_number_of_loading_processes_changes_no_result(store: Store, tmp_path: Path) -> None:
    run = tiny.finetuning(
        tiny.pretraining("scratch"), "ft", dataset="animals", batch=4, epochs=3, randaugment=True
    )
    site = Site(datasets={"animals": str(picture_folder(tmp_path / "animals"))})
    results = []
    for workers in (0, 1, None):  # None: as many as the machine has cores for
        place = Store(tmp_path / str(workers))
        copied(store, place, run.parents[0])
        place.write_recipe(run)
        runner(place, site).execute(packed(run, workers=workers))
        results.append(tiny.result(place.run(run.id)))
    assert results[0] == results[1] == results[2]


def test_training_beats_chance(store: Store) -> None:
    run = tiny.head(tiny.pretraining("clip"), epochs=40, lr=0.03)
    assert metrics(store, run)["test_top1"] > 0.3


def test_full_shots_are_all_images_except_validation(store: Store) -> None:
    found = metrics(store, tiny.head(tiny.pretraining("clip"), shots="full", epochs=1))
    assert found["train_images"] + found["n_val"] == downstream_datasets.PACKAGED["digits"].train


def test_a_linear_probe_trains_the_head_alone(store: Store, tmp_path: Path) -> None:
    """The encoder in its checkpoint equals that of the parent, including batch norm."""
    run = tiny.head(tiny.pretraining("clip"))
    other = Store(tmp_path)
    copied(store, other, run.parents[0])
    tiny.execute(other, run, stop=tiny.StopAfter(4))
    state = weights_file.read(other.run(run.id).checkpoint)
    assert state is not None
    parent = torch.load(store.run(run.parents[0].id).encoder, weights_only=True)["visual"]
    for name, value in parent.items():
        assert torch.equal(state["objective"][f"visual.{name}"], value), name
    assert state["objective"]["head.weight"].abs().sum() > 0


def copied(store: Store, other: Store, run: Run) -> None:
    for path in (store.run(run.id).encoder, store.run(run.id).record):
        to = other.run(run.id).path / path.name
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())


def test_runs_of_a_pack_do_not_change_the_parent_they_share(store: Store) -> None:
    """So a run that is repeated later gives the same result."""
    scratch = tiny.pretraining("scratch")
    runs = [
        tiny.finetuning(scratch, "ft", seed=7),
        tiny.finetuning(scratch, "lp"),
        tiny.head(scratch, seed=7),
    ]
    for run in runs:
        tiny.finished(store, run)
    again = tiny.head(tiny.pretraining("scratch"), seed=8)
    first = metrics(store, again)
    store.run(again.id).record.unlink()
    assert metrics(store, again) == first
    _, towers = encoders.load(store.run(runs[0].parents[0].id).encoder)
    fresh = encoders.build(tiny.ARCH, 0, with_text=False)
    pairs = zip(towers.visual.parameters(), fresh.visual.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class Watching(StopSignal):
    """Records before each run and each step which runs have given a sign of life."""

    def __init__(self, store: Store, runs: list[Run]) -> None:
        super().__init__()
        self.progress = [store.run(run.id).progress for run in runs]
        self.seen: list[list[bool]] = []

    @property
    def requested(self) -> bool:
        self.seen.append([path.exists() for path in self.progress])
        return False


@pytest.mark.parametrize("dataset", ["digits", "animals"])
def test_each_run_of_a_worker_gives_its_own_signs_of_life_before_its_first_step(
    dataset: str, store: Store, tmp_path: Path
) -> None:
    """While it extracts features (digits, in memory) and while it reads a data set (animals)."""
    parent, place = tiny.pretraining("scratch"), Store(tmp_path)
    runs = [tiny.head(parent), tiny.head(parent, draw=1, dataset=dataset)]
    copied(store, place, parent)
    watching = Watching(place, runs)
    site = Site(datasets={"animals": str(picture_folder(tmp_path / "animals"))})
    runner(place, site, watching).execute(packed(*runs))
    steps = [tiny.record(place.run(run.id))["metrics"]["steps"] for run in runs]
    before_first, *during_first = watching.seen[: steps[0] + 1]
    assert before_first == [False, False] and during_first == [[True, False]] * steps[0]
    during_second = watching.seen[steps[0] + 2 :]  # the first may be done, and its sign gone
    assert [second for _, second in during_second] == [True] * steps[1]


def test_runs_of_one_worker_share_parent_and_data(store: Store, tmp_path: Path) -> None:
    """A parent of another store, or one that was replaced, is read again."""
    cache = FinetuneCache()
    path = store.run(tiny.pretraining("scratch").id).encoder
    parent = cache.parent(path)
    data = cache.dataset("digits", None, None)
    assert cache.parent(path) is parent and cache.dataset("digits", None, None) is data
    assert cache.features(parent, data) is cache.features(parent, data)

    copied(store, Store(tmp_path), tiny.pretraining("scratch"))
    other = cache.parent(Store(tmp_path).run(tiny.pretraining("scratch").id).encoder)
    assert other is not parent and cache.features(other, data) is not cache.features(parent, data)

    encoders.save(tmp_path / "encoder.pt", tiny.ARCH, parent.towers)
    before = cache.parent(tmp_path / "encoder.pt")
    encoders.save(tmp_path / "encoder.pt", tiny.ARCH, encoders.build(tiny.ARCH, 5, False))
    assert cache.parent(tmp_path / "encoder.pt").fingerprint != before.fingerprint


def test_data_sets_in_different_folders_are_not_mixed_up(tmp_path: Path) -> None:
    cache = FinetuneCache()
    one, two = picture_folder(tmp_path / "one"), picture_folder(tmp_path / "two")
    (two / "train/dog/0.png").write_bytes(png(77))
    found = [cache.dataset("animals", folder, None) for folder in (one, two, one)]
    assert found[0] is found[2] and found[0].fingerprint != found[1].fingerprint


def test_only_the_values_used_last_are_kept() -> None:
    made: list[str] = []
    kept: MostRecent[str, None] = MostRecent(2)
    for key in ("a", "b", "a", "c", "a", "b"):
        kept.get(key, lambda: made.append(key))  # noqa: B023
    assert made == ["a", "b", "c", "b"]


def test_a_zero_head_ignores_the_text(store: Store) -> None:
    found = metrics(store, tiny.finetuning(tiny.pretraining("clip"), "ft", head="zero"))
    assert "zeroshot_val_top1" not in found


def test_augmentation_and_recalibration_repeat_bit_for_bit(store: Store, tmp_path: Path) -> None:
    full: dict[str, Any] = {"randaugment": True, "erase": 0.5, "batch_norm": "recalibrate"}
    run = tiny.finetuning(tiny.pretraining("clip"), "ft", **full)
    copied(store, Store(tmp_path), run.parents[0])
    one, two = tiny.finished(store, run), tiny.finished(Store(tmp_path), run)
    assert tiny.result(one) == tiny.result(two)
    assert one.hits.read_bytes() == two.hits.read_bytes()


def test_a_parent_without_a_record_is_trouble_of_the_store(tmp_path: Path) -> None:
    """Its folder was removed; the supervisor and the launch make sure that it was there."""
    run = tiny.finetuning(tiny.pretraining("clip"))
    told = tiny.execute(Store(tmp_path), run)[-1]
    assert (told["event"], told["class"]) == ("failed", "store")
    assert told["message"] == (
        f"the parent {run.parents[0].id} has no record; launch the study again"
    )


def test_a_damaged_parent_is_an_error(store: Store, tmp_path: Path) -> None:
    run = tiny.finetuning(tiny.pretraining("clip"))
    other = Store(tmp_path)
    copied(store, other, run.parents[0])
    encoder = other.run(run.parents[0].id).encoder
    encoder.write_bytes(encoder.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="is damaged"):
        told = tiny.execute(other, run)[-1]
    assert told["class"] == "data" and f"{encoder}: the encoder is missing" in told["message"]


def test_a_run_whose_loss_is_not_a_number_writes_no_result(store: Store) -> None:
    run = tiny.finetuning(tiny.pretraining("clip"), "ft", lr=1e30, grad_clip=None)
    told = tiny.execute(store, run)[-1]
    assert (told["event"], told["class"]) == ("failed", "nan")
    assert not store.run(run.id).record.exists() and not store.run(run.id).hits.exists()
