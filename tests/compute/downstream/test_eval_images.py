"""Evaluation views: the same bits from memory, from the cache on disk and decoded directly."""

import io
import logging
import os
import resource
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hpc_xfer.compute.downstream.datasets import ImageFiles
from hpc_xfer.compute.downstream.decoded_cache import CachePlaces, DecodedCache
from hpc_xfer.compute.downstream.eval_images import EvalImages, batch_size
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.compute.images import crops
from hpc_xfer.errors import DataError
from hpc_xfer.store.paths import StoreDir
from tests import tiny
from tests.waiting import wait_for

N, SIZE = 90, 32
ALL = np.arange(N)
TEST = {"data": "fingerprint", "name": "pets test"}


@dataclass(frozen=True, eq=False)
class CountedFiles(ImageFiles):
    """Records which images are decoded."""

    from_files: ClassVar[bool] = True
    decoded: list[int] = field(default_factory=list)

    def image(self, i: int) -> Tensor:
        self.decoded.append(i)
        return super().image(i)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Small JPEGs of several sizes, in a folder with a space in its name."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(N):
        pixels = rng.integers(0, 256, (40 + i % 7, 50 - i % 5, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "jpeg")
        (folder / f"{i}.jpg").write_bytes(buffer.getvalue())
    return folder


def files(folder: Path) -> CountedFiles:
    return CountedFiles(np.zeros(N, dtype=np.int64), [folder / f"{i}.jpg" for i in range(N)])


def cache(store: Path, scratch: Path | None = None) -> DecodedCache:
    return DecodedCache(CachePlaces(StoreDir(store), scratch), TEST, N, SIZE)


def views(shown: EvalImages, chosen: Indices = ALL) -> Tensor:
    return torch.cat(list(shown.batches(chosen)))


def expected(folder: Path, chosen: Indices = ALL) -> Tensor:
    return torch.stack([crops.center_crop(files(folder).image(i), SIZE) for i in chosen])


def test_a_cache_on_disk_gives_the_bits_of_decoding_and_decodes_once(photos: Path) -> None:
    store = photos.parent / "a store"
    cold, warm = files(photos), files(photos)
    assert torch.equal(views(EvalImages(cold, SIZE, cache(store))), expected(photos))
    assert sorted(cold.decoded) == [*range(N)]
    shown = EvalImages(warm, SIZE, cache(store))
    some = np.array([80, 3, 4, 5, 3])
    assert torch.equal(views(shown), expected(photos))
    assert torch.equal(views(shown, some), expected(photos, some))
    assert warm.decoded == []
    assert torch.equal(views(EvalImages(files(photos), SIZE)), expected(photos))


def test_few_images_are_decoded_alone_and_kept_in_memory(photos: Path) -> None:
    shown = EvalImages(counted := files(photos), SIZE, cache(photos.parent / "store"))
    few = np.array([7, 9, 30])
    assert torch.equal(views(shown, few), expected(photos, few))
    assert torch.equal(views(shown, few[::-1]), expected(photos, few[::-1]))
    assert sorted(counted.decoded) == [7, 9, 30]
    assert not (photos.parent / "store").exists()


def test_a_cache_that_is_cut_in_half_under_a_reader_is_left_out_and_made_again(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = photos.parent / "store"
    shown = EvalImages(files(photos), SIZE, cache(store))
    views(shown)
    (path,) = store.glob("cache/images/*/array")
    os.truncate(path, path.stat().st_size // 2)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(views(shown), expected(photos))
        assert torch.equal(views(shown), expected(photos))
    assert len(caplog.messages) == 1 and "it was cut off" in caplog.messages[0]
    assert torch.equal(views(EvalImages(files(photos), SIZE, cache(store))), expected(photos))
    assert cache(store).stored.times_made() == 2


def test_another_size_split_or_data_set_is_another_file(photos: Path) -> None:
    places = CachePlaces(StoreDir(photos.parent / "store"))
    for size, name, data in (
        (32, "test", "a"),
        (24, "test", "a"),
        (32, "train", "a"),
        (32, "test", "b"),
    ):
        kept = DecodedCache(places, {"data": data, "name": name}, N, size)
        assert views(EvalImages(files(photos), size, kept)).shape == (N, 3, size, size)
    assert len([*(photos.parent / "store/cache/images").iterdir()]) == 4


def test_scratch_of_the_node_gets_a_copy_that_is_read(photos: Path) -> None:
    store, scratch = photos.parent / "store", photos.parent / "scratch"
    views(EvalImages(files(photos), SIZE, cache(store, scratch)))
    (path,) = store.glob("cache/images/*/array")
    (copy,) = scratch.glob("*/array")
    assert copy.read_bytes() == path.read_bytes()
    shown = EvalImages(warm := files(photos), SIZE, cache(store, scratch))
    views(shown, ALL[:30])
    os.truncate(path, 0)
    assert torch.equal(views(shown), expected(photos))
    assert warm.decoded == []


def test_scratch_that_cannot_be_written_is_left_out(photos: Path) -> None:
    scratch = photos.parent / "scratch"
    scratch.write_bytes(b"a file")
    shown = EvalImages(files(photos), SIZE, cache(photos.parent / "store", scratch))
    assert torch.equal(views(shown), expected(photos))


def on_a_full_disk(photos: Path) -> None:
    right = expected(photos)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    assert torch.equal(views(EvalImages(files(photos), SIZE, cache(photos.parent / "s"))), right)


def test_views_are_right_on_a_full_disk(photos: Path) -> None:
    assert tiny.join([tiny.child(on_a_full_disk, photos)]) == [0]
    assert not [*photos.parent.glob("s/cache/images/*/array")]


def decodes_when_both_are_there(photos: Path, me: str, other: str) -> None:
    (photos.parent / me).touch()
    wait_for((photos.parent / other).exists)
    shown = EvalImages(files(photos), SIZE, cache(photos.parent / "s"))
    assert torch.equal(views(shown), expected(photos))


def test_two_processes_at_once_get_the_same_views_and_one_decodes(photos: Path) -> None:
    pairs = (("a", "b"), ("b", "a"))
    both = [tiny.child(decodes_when_both_are_there, photos, *pair) for pair in pairs]
    assert tiny.join(both) == [0, 0]
    assert cache(photos.parent / "s").stored.times_made() == 1


def test_a_damaged_image_is_an_error_and_leaves_no_file(photos: Path) -> None:
    (photos / "60.jpg").write_bytes(b"no image")
    shown = EvalImages(files(photos), SIZE, cache(photos.parent / "store"))
    with pytest.raises(DataError, match=r"60\.jpg: is not an image"):
        views(shown)
    assert not [*photos.parent.glob("store/cache/images/*/array")]


def test_signs_of_life_are_given_while_views_are_decoded(photos: Path) -> None:
    signs: list[None] = []
    shown = EvalImages(files(photos), SIZE, cache(photos.parent / "store"))
    list(shown.batches(ALL, lambda: signs.append(None)))
    assert len(signs) >= 3  # the batch, and two parts of the file


def test_a_batch_is_smaller_for_larger_images() -> None:
    sizes = (8, 32, 64, 128, 224, 336, 1024, 5000)
    assert [batch_size(size) for size in sizes] == [256, 256, 256, 256, 64, 32, 4, 1]
