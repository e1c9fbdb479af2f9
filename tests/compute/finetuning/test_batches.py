"""Training batches: the same bits from files and from memory, and where loaders pay."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpc_xfer.compute.downstream.datasets import GrayImages, ImageFiles, ImageSet
from hpc_xfer.compute.finetuning.batches import EpochBatches, ImageBatches, needs_loaders
from hpc_xfer.compute.finetuning.cache import FinetuneCache
from hpc_xfer.config.finetune_recipes import FullFinetune
from hpc_xfer.store.heartbeat import Liveness
from tests.tars import png

CPU, GPU = torch.device("cpu"), torch.device("cuda")
CHOSEN = np.array([2, 3, 7, 9])


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    paths = [tmp_path / f"an image {i}.png" for i in range(12)]
    for i, path in enumerate(paths):
        path.write_bytes(png(20 * i))
    return ImageFiles(np.arange(12) % 3, paths)


def views(images: ImageSet, recipe: FullFinetune) -> torch.Tensor:
    batches = ImageBatches(images, CHOSEN, recipe, 16, EpochBatches(4, 4, 5, (0, 0)))
    return torch.cat([batches[step]["images"] for step in range(5)])


def recipe() -> FullFinetune:
    return FullFinetune(dataset="pets", shots=1, draw=0, lr=1e-3, erase=0.5)


def test_images_kept_in_memory_give_the_bits_of_files(files: ImageFiles) -> None:
    cache = FinetuneCache()
    kept = cache.training_images(files, CHOSEN, Liveness())
    again = cache.training_images(files, CHOSEN, Liveness())
    for path in files.paths:
        path.unlink()
    assert not kept.from_files and again.image(3) is kept.image(3)
    remembered = views(kept, recipe())
    for i, path in enumerate(files.paths):
        path.write_bytes(png(20 * i))
    assert torch.equal(remembered, views(files, recipe()))


def test_images_in_memory_are_used_as_they_are() -> None:
    images = GrayImages(np.zeros(3, dtype=np.int64), np.zeros((3, 8, 8), dtype=np.uint8))
    assert FinetuneCache().training_images(images, np.arange(3), Liveness()) is images


def test_files_need_loaders_and_decoded_images_only_before_a_gpu(files: ImageFiles) -> None:
    kept = FinetuneCache().training_images(files, CHOSEN, Liveness())
    assert needs_loaders(files, 4, CPU) and not needs_loaders(kept, 128, CPU)
    assert needs_loaders(kept, 128, GPU) and not needs_loaders(kept, 4, GPU)


def sizes(n: int, batch: int, least: int) -> list[int]:
    epochs = EpochBatches(n, batch, 1, (0,), least)
    found = [epochs.at(step)[1] for step in range(epochs.steps_per_epoch)]
    assert sorted(i for part in found for i in part) == list(range(n))
    return [len(part) for part in found]


def test_three_images_in_batches_of_two_are_one_batch_where_batch_norm_needs_two() -> None:
    assert sizes(3, 2, least=1) == [2, 1]
    assert sizes(3, 2, least=2) == [3]
    assert sizes(5, 2, least=2) == [3, 2]


@given(st.integers(2, 300), st.integers(2, 300))
def test_no_batch_has_one_image_and_where_none_had_nothing_changes(n: int, batch: int) -> None:
    before, now = sizes(n, batch, least=1), sizes(n, batch, least=2)
    assert min(now) >= 2 and max(now) - min(now) <= 1 and max(now) <= batch + 1
    assert now == before or min(before) == 1


def test_one_image_is_one_batch() -> None:
    assert sizes(1, 128, least=2) == [1]
