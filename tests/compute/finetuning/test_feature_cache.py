"""Features of a parent for whole splits: extracted once, the same bits cold and warm."""

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.downstream.datasets import DownstreamData, GrayImages
from hpc_xfer.compute.downstream.decoded_cache import CachePlaces
from hpc_xfer.compute.failure_classes import classify
from hpc_xfer.compute.finetuning.cache import FinetuneCache, Parent, SplitFeatures
from hpc_xfer.compute.finetuning.feature_cache import Extraction
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.normalize import Normalize
from hpc_xfer.config import downstream_datasets
from hpc_xfer.errors import DataError
from hpc_xfer.store.heartbeat import Liveness
from hpc_xfer.store.paths import StoreDir
from tests import tiny
from tests.waiting import wait_for

INFO = downstream_datasets.PACKAGED["digits"]


def images(n: int, seed: int) -> GrayImages:
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    return GrayImages(np.arange(n) % 10, pixels)


def data(fingerprint: str = "d1", **more: GrayImages) -> DownstreamData:
    further = {name: each for name, each in more.items() if name != "val"}
    return DownstreamData(
        INFO, images(300, 0), images(40, 1), fingerprint, more.get("val"), further
    )


def saved(folder: Path, broken: bool = False) -> Path:
    """An encoder whose batch norm has statistics of its own; a broken one overflows."""
    towers = encoders.build(tiny.ARCH, seed=0, with_text=False)
    generator = torch.Generator().manual_seed(0)
    for module in towers.visual.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(generator=generator)
    if broken:
        with torch.no_grad():
            next(iter(towers.visual.parameters())).fill_(3e38)
    folder.mkdir(exist_ok=True)
    encoders.save(folder / "encoder.pt", tiny.ARCH, towers)
    return folder / "encoder.pt"


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return saved(tmp_path / "a run")


def opened(encoder: Path, sets: DownstreamData | None = None) -> tuple[SplitFeatures, Parent]:
    """The features as a fresh process opens them, in a store beside the encoder."""
    cache = FinetuneCache(CachePlaces(StoreDir(store_of(encoder))))
    parent = cache.parent(encoder)
    return cache.features(parent, sets or data()), parent


def store_of(encoder: Path) -> Path:
    return encoder.parent.parent / "a store"


def stored(encoder: Path) -> list[Path]:
    return sorted(store_of(encoder).glob("cache/features/*/array"))


def times_made(features: SplitFeatures) -> int:
    assert features.train.cache is not None and features.train.cache.slot is not None
    return features.train.cache.slot.times_made()


def test_features_are_those_of_the_encoder_and_of_unit_length(encoder: Path) -> None:
    features, parent = opened(encoder)
    found = features.train.all(Liveness())
    assert found.shape == (300, 16) and found.dtype == torch.float32
    views = torch.cat(list(features.train.images.batches(np.arange(300))))
    _, towers = encoders.load(encoder)
    with torch.no_grad():
        direct = F.normalize(towers.visual.eval()(Normalize(towers)(views)), dim=-1)
    assert torch.allclose(found, direct, atol=1e-5)
    assert parent.size == 32


def test_features_are_extracted_once_and_the_same_bits_cold_and_warm(encoder: Path) -> None:
    cold, _ = opened(encoder)
    first = cold.train.all(Liveness())
    warm, parent = opened(encoder)
    with torch.no_grad():  # an encoder that would give others now
        next(iter(parent.towers.visual.parameters())).zero_()
    assert torch.equal(warm.train.all(Liveness()), first)
    assert times_made(warm) == 1
    without = FinetuneCache()
    alone = without.features(without.parent(encoder), data())
    assert torch.equal(alone.train.all(Liveness()), first)


def test_each_split_has_its_own_file(encoder: Path) -> None:
    sets = data(val=images(20, 2), sketches=images(30, 3))
    features, _ = opened(encoder, sets)
    assert features.val is not None
    parts = [features.train, features.test, features.val, features.further["sketches"]]
    assert [len(part.all(Liveness())) for part in parts] == [300, 40, 20, 30]
    assert len(stored(encoder)) == 4
    again, _ = opened(encoder, sets)
    assert again.val is not None and torch.equal(
        again.val.all(Liveness()), features.val.all(Liveness())
    )
    none, _ = opened(encoder)
    assert none.val is None and none.further == {}


def test_another_encoder_or_data_set_has_other_features(encoder: Path) -> None:
    opened(encoder)[0].test.all(Liveness())
    opened(encoder, data("d2"))[0].test.all(Liveness())
    towers = encoders.build(tiny.ARCH, seed=1, with_text=False)
    encoders.save(encoder, tiny.ARCH, towers)
    opened(encoder)[0].test.all(Liveness())
    assert len(stored(encoder)) == 3


def test_a_cache_cut_in_half_is_left_out_and_made_again(
    encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = opened(encoder)[0].train.all(Liveness())
    (path,) = stored(encoder)
    os.truncate(path, path.stat().st_size // 2)
    features, _ = opened(encoder)
    assert torch.equal(features.train.all(Liveness()), first)
    assert times_made(features) == 2 and "the cache is left out" in caplog.text
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert torch.equal(opened(encoder)[0].train.all(Liveness()), first)


def test_an_encoder_that_gives_nan_is_a_data_error_and_nothing_is_kept(tmp_path: Path) -> None:
    broken = saved(tmp_path / "a run", broken=True)
    features, _ = opened(broken)
    with pytest.raises(DataError) as caught:
        features.test.all(Liveness())
    assert str(caught.value) == (
        f"{broken}: gives NaN or infinity for 40 of 40 images of digits test, first image 0; "
        "delete the folder of its run and launch again to repeat the pre-training"
    )
    assert classify(caught.value) == "data"
    assert stored(broken) == []
    with pytest.raises(DataError, match="gives NaN or infinity"):  # and nobody waits
        opened(broken)[0].test.all(Liveness())


def extracts_when_both_are_there(encoder: Path, me: str, other: str) -> None:
    features, _ = opened(encoder)
    (encoder.parent / me).touch()
    wait_for((encoder.parent / other).exists)
    torch.save(features.train.all(Liveness()), encoder.parent / f"{me}.pt")


def test_of_two_processes_one_extracts_and_the_other_waits(encoder: Path) -> None:
    pairs = (("a", "b"), ("b", "a"))
    both = [tiny.child(extracts_when_both_are_there, encoder, *pair) for pair in pairs]
    assert tiny.join(both) == [0, 0]
    one, two = (torch.load(encoder.parent / f"{n}.pt", weights_only=True) for n in "ab")
    assert torch.equal(one, two)
    with one_thread():
        assert times_made(opened(encoder)[0]) == 1


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """As in the children of tests: the number of threads is a part of the key."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def on_a_full_disk(encoder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    without = FinetuneCache()
    right: Tensor = without.features(without.parent(encoder), data()).train.all(Liveness())
    assert torch.equal(opened(encoder)[0].train.all(Liveness()), right)


def test_features_are_right_on_a_full_disk(encoder: Path) -> None:
    assert tiny.join([tiny.child(on_a_full_disk, encoder)]) == [0]
    assert stored(encoder) == []


def test_the_precision_of_a_gpu_is_not_used_on_a_cpu() -> None:
    cpu = Extraction(torch.device("cpu"), "bf16")
    assert cpu.effective_precision == "fp32"
    assert replace(cpu, device=torch.device("cuda")).effective_precision == "bf16"
