"""Batches of pre-training: the same for any ranks and workers."""

import io
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.training.loading.data_loader import BatchLoader
from hpc_xfer.compute.training.objective import Batch
from hpc_xfer.config.shard_index import ShardIndex
from tests import tiny
from tests.compute.pretraining.tar_shards import batches, png, same, shards
from tests.tars import write_tar

METHODS = ("clip", "siglip", "simclr", "supervised")


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
