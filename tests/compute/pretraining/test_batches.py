"""Batches of pre-training: the same for any ranks and workers, and honest about broken samples."""

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.pretraining import targets
from hpc_xfer.compute.pretraining.batches import TrainBatches
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.shards.sample_order import SampleOrder
from hpc_xfer.compute.shards.subsets.subset import Subset
from hpc_xfer.compute.training.loading.data_loader import BatchLoader
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.compute.shard_tools.making import write_shards
from tests.tars import write_tar

METHODS = ("clip", "siglip", "simclr", "supervised")
Sample = dict[str, bytes]


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (level, 0, 255 - level)).save(buffer, "png")
    return buffer.getvalue()


def samples(n: int, broken: Mapping[int, Sample] | None = None) -> list[Sample]:
    """Plain colors with a caption and one of 16 labels; `broken` replaces fields of some."""
    whole = [
        {"png": png(i), "txt": f"level {i}".encode(), "cls": str(i % 16).encode()} for i in range(n)
    ]
    for i, fields in (broken or {}).items():
        whole[i] |= fields
        whole[i] = {name: data for name, data in whole[i].items() if data != b"-"}
    return whole


def shards(folder: Path, n: int = 64, broken: Mapping[int, Sample] | None = None) -> ShardIndex:
    return write_shards(folder, samples(n, broken), [str(i) for i in range(16)], per_shard=24)


def batches(index: ShardIndex, method: str, rank: int = 0, ranks: int = 1) -> TrainBatches:
    recipe = tiny.pretraining(method).recipe
    assert isinstance(recipe, Trained)
    order = SampleOrder(Subset.draw([e.samples for e in index.entries], index.samples, 0), 16, 0)
    tokenize = encoders.tokenizer(recipe.arch) if recipe.uses_text else None
    return TrainBatches(index, order, recipe, 32, rank, ranks, tokenize)


def same(one: Batch, two: Batch) -> bool:
    return one.keys() == two.keys() and all(
        torch.equal(one[k], two[k]) if isinstance(one[k], torch.Tensor) else one[k] == two[k]
        for k in one
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_parts_of_the_ranks_are_the_global_batch(method: str, tmp_path: Path) -> None:
    index = shards(tmp_path)
    for step in (0, 3, 9):
        whole = batches(index, method)[step]
        for ranks in (2, 4):
            parts = [batches(index, method, rank, ranks)[step] for rank in range(ranks)]
            assert all(len(part["images"]) == 16 // ranks for part in parts)
            joined: Batch = {
                name: torch.cat([part[name] for part in parts])
                for name in whole
                if name != "broken"
            }
            assert same(whole, {**joined, "broken": []})


def test_each_method_gets_what_it_needs(tmp_path: Path) -> None:
    index = shards(tmp_path)
    shapes = {
        method: {
            name: (tuple(value.shape), value.dtype)
            for name, value in batches(index, method)[0].items()
            if name != "broken"
        }
        for method in METHODS
    }
    assert shapes == {
        "clip": {"images": ((16, 3, 32, 32), torch.uint8), "tokens": ((16, 8), torch.long)},
        "siglip": {"images": ((16, 3, 32, 32), torch.uint8), "tokens": ((16, 8), torch.long)},
        "simclr": {
            "images": ((16, 2, 3, 32, 32), torch.uint8),
            "color": ((16, 2, 6), torch.float32),
        },
        "supervised": {"images": ((16, 3, 32, 32), torch.uint8), "labels": ((16,), torch.long)},
    }


def test_image_caption_and_label_stay_together(tmp_path: Path) -> None:
    index = shards(tmp_path)
    supervised, clip = batches(index, "supervised")[2], batches(index, "clip")[2]
    levels = supervised["images"][:, 0, 16, 16]
    assert torch.equal(levels % 16, supervised["labels"])
    assert torch.equal(clip["images"][:, 0, 16, 16], levels)
    tokenize = encoders.tokenizer(tiny.ARCH)
    assert torch.equal(clip["tokens"], tokenize([f"level {int(level)}" for level in levels]))


def test_the_two_views_of_simclr_differ_and_epochs_too(tmp_path: Path) -> None:
    index = tiny_index(tmp_path)
    data = batches(index, "simclr")
    views = data[0]["images"]
    assert not torch.equal(views[:, 0], views[:, 1])
    epoch = data.order.steps_per_epoch
    places = [data.order.locate(step) for step in (0, *range(epoch, 2 * epoch))]
    again = next(s for s, (_, where) in enumerate(places[1:], epoch) if places[0][1][0] in where)
    there = data.order.locate(again)[1].index(places[0][1][0])
    assert not torch.equal(data[0]["images"][0], data[again]["images"][there])


def tiny_index(folder: Path) -> ShardIndex:
    return ShardIndex.load(tiny.source(folder / "sans", samples=64, per_shard=24))


def test_what_lies_before_a_restart_is_not_decoded(tmp_path: Path) -> None:
    """All of it is broken, and a run that begins behind it does not see that."""
    order = batches(shards(tmp_path / "whole"), "clip").order
    before = {shard * 24 + i for step in range(2) for shard, i in order.locate(step)[1]}
    damaged = shards(tmp_path / "damaged", broken={i: {"png": b"no"} for i in before})
    data = batches(damaged, "clip")
    later = list(BatchLoader(data, range(2, 4), 0, torch.device("cpu")).loaded())
    assert [len(batch["images"]) for batch in later] == [16, 16]
    assert [batch["broken"] for batch in later] == [[], []]
    assert len(data[0]["broken"]) >= 16


def png_as(file_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (90, 0, 0)).save(buffer, file_format)
    return buffer.getvalue()


def test_images_of_all_kinds_are_read_from_shards_of_others(tmp_path: Path) -> None:
    kinds = {"jpg": "jpeg", "JPEG": "jpeg", "png": "png", "webp": "webp"}
    members = [
        (f"part-{i}/{i:04d}.{field}", data)
        for i, (name, kind) in enumerate(4 * list(kinds.items()))
        for field, data in ((name, png_as(kind)), ("txt", b"a text"), ("cls", b"0"))
    ]
    write_tar(tmp_path / "00000.tar", members)
    data = batches(index_folder(tmp_path).index, "clip")
    batch = data[0]
    assert batch["broken"] == [] and len(batch["images"]) == 16
    assert (batch["images"][:, 0].float().mean(dim=(1, 2)) - 90).abs().max() < 4


@pytest.mark.filterwarnings("ignore:.*use of fork.* may lead to deadlocks:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 5 worker processes")
def test_loader_processes_give_the_same_batches(tmp_path: Path) -> None:
    data = batches(shards(tmp_path), "clip")
    expected = [data[step] for step in range(6)]
    for workers in (0, 1, 2, 5):  # also more than shards
        loader = BatchLoader(data, range(6), workers, torch.device("cpu"))
        found = list(loader.loaded())
        assert len(found) == 6
        assert all(map(same, expected, found))


def test_the_data_set_can_be_sent_to_another_process(tmp_path: Path) -> None:
    """Where loader processes are not forked, and after shards were opened."""
    data = batches(shards(tmp_path), "clip")
    expected = data[0]
    assert same(pickle.loads(pickle.dumps(data))[0], expected)


def test_more_loader_processes_than_samples_of_a_rank_do_no_harm(tmp_path: Path) -> None:
    data = batches(shards(tmp_path), "supervised", rank=1, ranks=8)
    pieces = [next(data.pieces(range(3, 4), worker, 4)) for worker in range(4)]
    assert [len(piece.get("images", ())) for piece in pieces] == [1, 1, 0, 0]


# Where captions and labels come from.


def with_json(i: int) -> Sample:
    content = {"title": f"title {i}", "tags": ["a", "b"], "empty": " ", "kind": str(i % 16)}
    return {"png": png(i), "json": json.dumps({**content, "number": i % 16}).encode()}


def reading(tmp_path: Path, recipe: Trained, classes: list[str] | None) -> list[Any]:
    """What the recipe takes besides the images of one epoch, with the level of each image."""
    index = write_shards(tmp_path, map(with_json, range(32)), classes, per_shard=24)
    order = SampleOrder(Subset.draw([24, 8], 32, 0), 16, 0)
    captions: list[str] = []

    def tokenize(texts: list[str]) -> torch.Tensor:
        captions.extend(texts)
        return torch.zeros(len(texts), 8, dtype=torch.long)

    data = TrainBatches(index, order, recipe, 32, tokenize=tokenize)
    epoch = [data[step] for step in range(2)]
    levels = [int(level) for batch in epoch for level in batch["images"][:, 0, 16, 16]]
    told: list[Any] = captions or [int(label) for batch in epoch for label in batch["labels"]]
    assert all(batch["broken"] == [] for batch in epoch)
    return list(zip(levels, told, strict=True))


def recipe_of(method: str, **changes: Any) -> Trained:
    recipe = tiny.pretraining(method, **changes).recipe
    assert isinstance(recipe, Trained)
    return recipe


def test_captions_come_from_keys_of_the_json(tmp_path: Path) -> None:
    recipe = recipe_of("clip", caption={"keys": ("title", "missing", "empty", "tags")})
    assert all(text == f"title {level} a b" for level, text in reading(tmp_path, recipe, None))


def test_captions_come_from_templates_over_class_names(tmp_path: Path) -> None:
    names = [f"thing {i}" for i in range(16)]
    templates = ("a photo of {}.", "{}, drawn")
    recipe = recipe_of("clip", caption={"templates": templates}, label="number")
    told = reading(tmp_path, recipe, names)
    assert all(text in [t.replace("{}", f"thing {n % 16}") for t in templates] for n, text in told)
    assert {text.startswith("a photo") for _, text in told} == {True, False}


@pytest.mark.parametrize("key", ["number", "kind"])
def test_labels_come_from_the_json_as_numbers_or_names(key: str, tmp_path: Path) -> None:
    recipe = recipe_of("supervised", label=key)
    told = reading(tmp_path, recipe, [str(i) for i in range(16)])
    assert all(label == level % 16 for level, label in told)


@pytest.mark.parametrize("caption", [{}, {"keys": ("a",), "templates": ("{}",)}])
def test_captions_come_from_one_place(caption: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either keys"):
        recipe_of("clip", caption=caption)


def test_a_template_says_where_the_class_goes() -> None:
    with pytest.raises(ValueError, match="once, where the class name goes"):
        recipe_of("clip", caption={"templates": ("a photo",)})


# What is broken.

BROKEN = {
    "an image that is none": ("clip", {"png": b"not a png"}, "is not an image"),
    "a cut image": ("supervised", {"png": png(3)[:50]}, "cannot be decoded"),
    "no image": ("simclr", {"png": b"-"}, "has no image (jpg, jpeg, png, webp, "),
    "no caption": ("clip", {"txt": b"-"}, "has no caption (txt)"),
    "an empty caption": ("clip", {"txt": b" \n"}, "has no caption (its txt is empty)"),
    "bytes that are not UTF-8": ("clip", {"txt": b"caf\xe9"}, "(its txt is not UTF-8)"),
    "a value that is missing": ("clip", {"txt": b"nan"}, "is 'nan', which stands for none)"),
    "a label in floats": ("supervised", {"cls": b"1.0"}, "cls '1.0' is not a class number"),
    "a label below 0": ("supervised", {"cls": b"-1"}, "cls '-1' is not a class number"),
    "a label of odd bytes": ("supervised", {"cls": b"\xff"}, "is not a class number"),
    "an empty label": ("supervised", {"cls": b""}, "cls '' is not a class number"),
    "no label": ("supervised", {"cls": b"-"}, "has no label (cls)"),
    "a label out of range": ("supervised", {"cls": b"16"}, "label 16 is outside of the 16 classes"),
    "a label that is no number": ("supervised", {"cls": b"cat"}, "'cat'"),
}


@pytest.mark.parametrize(("method", "fields", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_sample_is_replaced_by_its_neighbor_and_named(
    method: str, fields: Sample, why: str, tmp_path: Path
) -> None:
    good = batches(shards(tmp_path / "good"), method)
    bad = batches(shards(tmp_path / "bad", broken={30: fields}), method)
    step = next(s for s in range(4) if (1, 6) in good.order.locate(s)[1])
    at = good.order.locate(step)[1].index((1, 6))
    expected, found = good[step], bad[step]
    assert [len(b["images"]) for b in (expected, found)] == [16, 16]
    assert len(found["broken"]) == 1
    assert str(found["broken"][0]).startswith("000001.tar: 000000030: ")
    assert why in found["broken"][0].why
    others = [i for i in range(16) if i != at]
    assert torch.equal(expected["images"][others], found["images"][others])
    if method == "supervised":
        assert int(found["labels"][at]) == 31 % 16


CAPTIONS = {
    b'{"title": 1984}': "1984",
    b'{"title": 2.5, "tags": [3, "b"]}': "2.5 3 b",
    b'{"title": [["a", ["b"]], "c"]}': "a b c",
    b'{"title": "None", "tags": ["x", null, NaN, true, "n/a"]}': "x",
}


@pytest.mark.parametrize(("content", "text"), CAPTIONS.items(), ids=range(len(CAPTIONS)))
def test_numbers_and_lists_in_the_json_are_captions(content: bytes, text: str) -> None:
    caption = targets.target_reader(recipe_of("clip", caption={"keys": ("title", "tags")}), ())
    assert caption({"json": content}, np.random.default_rng(0)) == text


def test_a_caption_that_begins_with_a_mark_of_windows_is_read_without_it() -> None:
    read = targets.target_reader(recipe_of("clip"), ())
    assert read({"txt": b"\xef\xbb\xbfa cat\r\n"}, np.random.default_rng(0)) == "a cat"


def test_labels_with_spaces_and_line_ends_are_numbers() -> None:
    read = targets.target_reader(recipe_of("supervised"), ["a", "b", "c", "d"])
    values = [read({"cls": data}, np.random.default_rng(0)) for data in (b" 3\n", b"\xef\xbb\xbf2")]
    assert values == [3, 2]


def test_of_several_images_of_a_sample_the_first_kind_is_taken(tmp_path: Path) -> None:
    """Others, such as a mask beside a photograph, are not even read."""
    mask = png_as("tiff")
    members = [
        (f"{i:02d}.{field}", data)
        for i in range(16)
        for field, data in (("tif", mask), ("png", png(i)), ("cls", b"0"))
    ]
    write_tar(tmp_path / "0.tar", [*members, ("99.tif", mask), ("99.cls", b"0")])
    data = batches(index_folder(tmp_path).index, "supervised")
    found = sorted({int(level) for step in range(9) for level in data[step]["images"][:, 0, 0, 0]})
    assert found == [*range(16), 90]


NO_CAPTION = {
    b'{"title": true}': "has no caption (json: title, tags)",
    b'{"title": {"en": "a cat"}}': "has no caption (json: title, tags)",
    b'{"title": "NaN", "tags": "N/A"}': "has no caption (json: title, tags)",
    b'{"tags": []}': "has no caption (json: title, tags)",
    b'{"title": NaN}': "has no caption (json: title, tags)",
    b"[1]": "its json is not an object of keys and values",
    b'{"title": "cut': "its json cannot be read",
    b"[" * 100_000: "its json cannot be read",  # deeper than Python goes
    b'{"title": ' + b"9" * 5000 + b"}": "its json cannot be read",
    b"\xff\xfe\x00": "its json cannot be read",
}


@pytest.mark.parametrize(("content", "why"), NO_CAPTION.items(), ids=range(len(NO_CAPTION)))
def test_a_json_without_a_caption_is_a_broken_sample(content: bytes, why: str) -> None:
    caption = targets.target_reader(recipe_of("clip", caption={"keys": ("title", "tags")}), ())
    with pytest.raises(DataError) as caught:
        caption({"json": content}, np.random.default_rng(0))
    assert str(caught.value).startswith(why)


def test_half_of_a_character_in_a_json_is_no_end_of_a_run() -> None:
    """Scraped captions are often cut inside of an emoji."""
    recipe = recipe_of("clip", caption={"keys": ("title",)})
    sample = {"json": b'{"title": "cafe \\ud83d"}'}
    text = targets.target_reader(recipe, ())(sample, np.random.default_rng(0))
    assert encoders.tokenizer(tiny.ARCH)([text]).shape == (1, 8)


def test_what_a_method_does_not_need_may_be_broken(tmp_path: Path) -> None:
    broken = {i: {"txt": b"-", "cls": b"cat"} for i in range(64)}
    data = batches(shards(tmp_path, broken=broken), "simclr")
    assert [data[step]["broken"] for step in range(4)] == [[]] * 4


def test_a_shard_of_broken_samples_is_an_error(tmp_path: Path) -> None:
    index = shards(tmp_path / "my source", broken={i: {"png": b"no"} for i in range(24)})
    data = batches(index, "clip")
    with pytest.raises(DataError) as caught:
        for step in range(4):
            data[step]
    assert str(caught.value).startswith(f"{index.folder}/000000.tar: 24 broken samples in a row")
    assert f"python -m hpc_xfer.shards check '{index.folder}'" in str(caught.value)


def cut(index: ShardIndex) -> str:
    path = index.path(index.entries[1])
    path.write_bytes(path.read_bytes()[:-20_000])
    return f"{path}: has "


def gone(index: ShardIndex) -> str:
    path = index.path(index.entries[1])
    path.unlink()
    return f"{path}: cannot be read"


def swapped(index: ShardIndex) -> str:
    path = index.path(index.entries[1])
    path.write_bytes(index.path(index.entries[2]).read_bytes())
    return f"{path}: has "


@pytest.mark.parametrize("damage", [cut, gone, swapped])
def test_a_damaged_shard_is_named(damage: Any, tmp_path: Path) -> None:
    index = shards(tmp_path)
    sentence = damage(index)
    data = batches(index, "clip")
    with pytest.raises(DataError) as caught:
        for step in range(4):
            data[step]
    assert str(caught.value).startswith(sentence)


# In a run, on one rank and on two.


def ranks(root: Path, run: Run, folder: Path, size: int, **resources: Any) -> list[dict[str, Any]]:
    """What rank 0 tells, after all ranks have ended."""
    processes = [
        tiny.child(of_a_rank, number, size, root, run, folder, resources) for number in range(size)
    ]
    codes = tiny.join(processes)
    assert None not in codes and all(code is not None and code >= 0 for code in codes), codes
    found: list[dict[str, Any]] = pickle.loads((root / "events").read_bytes())
    return found


def of_a_rank(
    number: int, size: int, root: Path, run: Run, folder: Path, resources: dict[str, Any]
) -> None:
    place = ProcessRank(number, size, number)
    events = tiny.execute(Store(root), run, folder, place=place, **resources)
    if number == 0:
        (root / "events").write_bytes(pickle.dumps(events))


@pytest.mark.parametrize("size", [1, 2])
def test_broken_samples_are_counted_in_the_record(size: int, tmp_path: Path) -> None:
    folder = shards(tmp_path / "sans", broken={7: {"png": b"no"}, 40: {"png": b"no"}}).folder
    run = tiny.pretraining("supervised", samples=64, samples_seen=128, batch=16, max_broken=0.05)
    assert ranks(tmp_path, run, folder, size)[-1]["event"] == "done"
    metrics = tiny.record(Store(tmp_path).run(run.id))["metrics"]
    assert metrics["skipped_samples"] == 4  # two in each of two epochs
    assert metrics["broken_by_shard"] == {"000000.tar": 2, "000001.tar": 2}
    assert sorted({line.split(":")[1] for line in metrics["broken"]}) == [
        " 000000007",
        " 000000040",
    ]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("workers", [0, 1])
def test_too_many_broken_samples_stop_all_ranks(size: int, workers: int, tmp_path: Path) -> None:
    """Also where one rank alone has one."""
    folder = shards(tmp_path / "sans", broken={7: {"png": b"no"}}).folder
    run = tiny.pretraining("supervised", samples=64, samples_seen=128, batch=16, max_broken=0.001)
    told = ranks(tmp_path, run, folder, size, workers=workers)[-1]
    assert (told["event"], told["class"]) == ("failed", "data")
    assert told["message"].startswith(
        "1 broken samples, 0 allowed so far (max_broken); run `python -m"
    )
    assert "000000.tar: 000000007: " in told["message"]
    assert not Store(tmp_path).run(run.id).encoder.exists()


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_lost_on_the_way_stops_all_ranks_with_its_name(
    size: int, workers: int, tmp_path: Path
) -> None:
    index = shards(tmp_path / "sans")
    index.path(index.entries[1]).write_bytes(bytes(index.entries[1].bytes))  # an unwritten hole
    run = tiny.pretraining("supervised", samples=64, samples_seen=64, batch=16)
    told = ranks(tmp_path, run, index.folder, size, workers=workers)[-1]
    assert (told["event"], told["class"]) == ("failed", "data")
    assert told["message"].startswith(f"{index.path(index.entries[1])}: ")
    assert "\n" not in told["message"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_that_is_kept_does_not_change_while_others_are_loaded(
    workers: int, tmp_path: Path
) -> None:
    """Loading processes write to the same buffers again and again."""
    ours = batches(shards(tmp_path), "simclr")
    loader = BatchLoader(ours, range(20), workers=workers, device=torch.device("cpu"))
    kept = list(loader.loaded())
    assert len(kept) == 20
    assert all(same(batch, ours[step]) for step, batch in enumerate(kept))
