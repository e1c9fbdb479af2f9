"""Broken samples are replaced, named and counted; too many, or a damaged shard, stop all ranks."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny
from tests.compute.pretraining.tar_shards import Sample, batches, png, shards

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
