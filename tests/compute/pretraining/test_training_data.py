"""Mixtures, selections and mixed captions in training: the same for any ranks, and on resume."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_xfer.compute.pretraining.batches import TrainBatches
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.shard_tools.source_index.index_columns import WantedColumns
from hpc_xfer.compute.shards.sample_order import SampleOrder
from hpc_xfer.compute.shards.subsets.subset import Subset
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.store.store import Store
from tests import tiny
from tests.compute.pretraining.tar_shards import png, recipe_of
from tests.tars import write_tar

SAMPLES = 64  # of each source
MIXED = {"a": 1, "b": 1}


def colored(folder: Path, first: int) -> Path:
    """Plain colors `first`, `first` + 1, ... with a caption, a second one, a score and a class."""
    for shard in range(4):
        members = []
        for i in range(shard * 16, shard * 16 + 16):
            content = {"blip": f"blip {first + i}", "score": i / SAMPLES, "hash": f"{i // 2}"}
            members += [
                (f"{i:05d}.png", png(first + i)),
                (f"{i:05d}.txt", f"level {first + i}".encode()),
                (f"{i:05d}.cls", str(i % 4).encode()),
                (f"{i:05d}.json", json.dumps(content).encode()),
            ]
        write_tar(folder / f"{shard}.tar", members)
    index_folder(folder, columns=WantedColumns(("score", "hash", "class", "key")))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sources")
    return {name: colored(root / name, first) for name, first in (("a", 0), ("b", 100))}


def batches(
    folders: dict[str, Path], recipe: Trained, captions: list[str], rank: int = 0, ranks: int = 1
) -> TrainBatches:
    indexes = {name: ShardIndex.load(folder) for name, folder in folders.items()}
    parts = [Subset.draw([16] * 4, 32, 0, first_shard=first) for first in (0, 4)]
    order = SampleOrder(parts[0], 16, 0, others=(parts[1],))

    def tokenize(texts: list[str]) -> torch.Tensor:
        captions.extend(texts)
        return torch.zeros(len(texts), 8, dtype=torch.long)

    return TrainBatches(indexes, order, recipe, 32, rank, ranks, tokenize)


def levels(data: TrainBatches, step: int) -> list[int]:
    return [int(level) for level in data[step]["images"][:, 0, 16, 16]]


def test_the_images_and_captions_of_both_sources_stay_together(folders: dict[str, Path]) -> None:
    captions: list[str] = []
    data = batches(folders, recipe_of("clip", source=MIXED), captions)
    seen = [level for step in range(4) for level in levels(data, step)]
    assert captions == [f"level {level}" for level in seen]
    assert sum(level < 100 for level in seen) == 32 and len(set(seen)) == 64


def test_ranks_read_their_parts_of_a_mixture(folders: dict[str, Path]) -> None:
    recipe = recipe_of("clip", source=MIXED, caption={"mix": {"txt": 1, "blip": 1}})
    told: list[str] = []
    parts: list[str] = []
    for step in (0, 2, 5):
        whole = levels(batches(folders, recipe, told), step)
        halves = [levels(batches(folders, recipe, parts, rank, 2), step) for rank in (0, 1)]
        assert [*halves[0], *halves[1]] == whole
    assert parts == told


def test_each_sample_and_epoch_draws_one_kind_of_captions(folders: dict[str, Path]) -> None:
    told: list[str] = []
    recipe = recipe_of("clip", source=MIXED, caption={"mix": {"txt": 0.25, "blip": 0.75}})
    data = batches(folders, recipe, told)
    seen = [level for step in range(16) for level in levels(data, step)]
    kinds = [text.split()[0] for text in told]
    assert [int(text.split()[1]) for text in told] == seen
    assert 0.65 < kinds.count("blip") / len(kinds) < 0.85
    first, second = (dict(zip(seen[i : i + 64], kinds[i : i + 64], strict=True)) for i in (0, 64))
    assert {first[level] == second[level] for level in first} == {True, False}
    again: list[str] = []
    assert levels(batches(folders, recipe, again), 9) == seen[9 * 16 : 10 * 16]
    assert again == told[9 * 16 : 10 * 16]


def test_captions_are_mixed_with_sentences_about_the_class(folders: dict[str, Path]) -> None:
    told: list[str] = []
    caption = {"mix": {"txt": 1, "templates": 1}, "templates": ("a photo of {}.",)}
    data = batches(folders, recipe_of("clip", source=MIXED, caption=caption), told)
    seen = levels(data, 0)
    for level, text in zip(seen, told, strict=True):
        assert text in (f"level {level}", f"a photo of {level % 100 % 4}.")


def test_each_source_of_a_mixture_has_captions_of_its_own(folders: dict[str, Path]) -> None:
    told: list[str] = []
    recipe = recipe_of("clip", source=MIXED, caption={"by_source": {"b": {"keys": ("blip",)}}})
    data = batches(folders, recipe, told)
    seen = [level for step in range(4) for level in levels(data, step)]
    assert told == [f"{'level' if level < 100 else 'blip'} {level}" for level in seen]


def test_a_source_without_txt_is_trained_beside_one_without_json(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    """Titles of a labelled source and captions from the web, as a run reads them."""
    apart = {"a": tmp_path / "a", "b": tmp_path / "b"}
    for (name, folder), field in zip(apart.items(), ("txt", "json"), strict=True):
        members = [
            (f"{i:05d}.{kind}", data)
            for i in range(16)
            for kind, data in (
                ("png", png(i)),
                ("txt", f"{name} {i}".encode()),
                ("json", json.dumps({"title": f"{name} {i}"}).encode()),
            )
            if kind in ("png", field)
        ]
        write_tar(folder / "0.tar", members)
        index_folder(folder)
    run = run_of(caption={"by_source": {"b": {"keys": ("title",)}}}, samples_seen=64)
    metrics = finished(tmp_path / "store", apart, run)["metrics"]
    assert metrics["samples_seen"] == 64 and metrics["skipped_samples"] == 0


def run_of(**changes: Any) -> Any:
    base = {"source": MIXED, "samples": 32, "samples_seen": 128, "batch": 16}
    return tiny.pretraining("clip", **{**base, **changes})


def finished(store: Path, folders: dict[str, Path], run: Any, **more: Any) -> dict[str, Any]:
    where = Store(store)
    events = tiny.execute(where, run, sources=folders, **more)
    assert events[-1]["event"] == "done", events
    return tiny.result(where.run(run.id))


def test_a_run_on_chosen_samples_of_a_mixture_goes_on_exactly_where_it_stopped(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    select = {"best": {"score": 0.5}, "distinct": "hash", "per_class": 8}
    caption = {"mix": {"txt": 1, "blip": 1}}
    run = run_of(select=select, caption=caption)
    whole = finished(tmp_path / "whole", folders, run)
    stopped = tmp_path / "stopped"
    told = tiny.execute(Store(stopped), run, sources=folders, stop=tiny.StopAfter(4))
    assert told[-1]["event"] != "done"
    assert finished(stopped, folders, run)["metrics"] == whole["metrics"]
    assert tiny.same_weights(Store(stopped).run(run.id), Store(tmp_path / "whole").run(run.id))
    data = tiny.record(Store(stopped).run(run.id))["provenance"]["data"]
    assert data["sources"].keys() == {"a", "b"} and len(data["subset"]) == 64


def test_too_few_chosen_samples_stop_a_run_before_it_trains(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    run = run_of(select={"best": {"score": 0.1}}, samples=64)
    told = tiny.execute(Store(tmp_path), run, sources=folders)[-1]
    assert told["event"] == "failed"
    assert "32 samples requested, but there are 6 after select; lower samples" in told["message"]
