"""Time fine-tunings on photos, beside the commit before: augmentation, decoding, starting a trial.

    python -m benchmarks.finetuning_images

Both sides go through `launch --on local` with one process. What a launch costs anyway (imports, the
parent, decoding once) is taken off: many trials are measured less one. RandAugment and the cache
of views are measured in this process too.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms.v2 import RandAugment

from benchmarks.finetuning_images import photos
from benchmarks.harness import before, interleave, table
from benchmarks.harness.table import Row
from hpc_xfer.compute.downstream.datasets import ImageFiles
from hpc_xfer.compute.downstream.decoded_cache import CachePlaces, DecodedCache
from hpc_xfer.compute.downstream.eval_images import EvalImages
from hpc_xfer.compute.images.randaugment import randaugment
from hpc_xfer.store.paths import StoreDir

_ROUNDS = 2
_TEST = 40  # images per class: 800
_RN64 = Path(__file__).parent / "archs/rn64.json"
_GLYPH = before.ROOT / "grids/archs/glyph.json"
_BEFORE = "the commit before"
_GRID = """
name: photos
pretrain:
  - {{method: scratch, arch: {arch}}}
finetune:
  datasets: [photos20]
  shots: [1]
  draws: {draws}
  mode: [ft]
  batch: 128
  epochs: {epochs}
  lr: 1e-3
"""


@dataclass(frozen=True)
class Work:
    """Fine-tunings of an encoder at 1 shot on one data set."""

    arch: Path
    trials: int
    epochs: int
    test: int  # images per class


def launched(tree: Path, folder: Path, work: Work) -> float:
    """CPU seconds of a launch and all its processes, in a store of its own."""
    folder.mkdir()
    (folder / "grid.yaml").write_text(
        _GRID.format(arch=work.arch, draws=work.trials, epochs=work.epochs)
    )
    site = {"datasets": {"photos20": str(photos.folder(work.test))}}
    (folder / "site.yaml").write_text(json.dumps(site))
    command = [sys.executable, "-m", "hpc_xfer.launch", str(folder / "grid.yaml")]
    command += ["--on", "local", "--jobs", "1"]
    command += ["--site", str(folder / "site.yaml"), "--store", str(folder / "store")]
    used = _children_seconds()
    done = subprocess.run(
        command, cwd=tree, env=before.environment(tree), capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{tree}: {(done.stdout + done.stderr)[-2000:]}")
    return _children_seconds() - used


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds_of_a_trial(tree: Path) -> float:
    """128 epochs of 20 images, then 800 test images."""
    return _marginal(tree, Work(_RN64, trials=5, epochs=128, test=_TEST))


def _marginal(tree: Path, work: Work) -> float:
    """CPU seconds of each trial after the first: decoding and imports are taken off."""
    with tempfile.TemporaryDirectory() as place:
        many = launched(tree, Path(place) / "many", work)
        one = launched(tree, Path(place) / "one", replace(work, trials=1))
    return (many - one) / (work.trials - 1)


def cpu_seconds_to_start(tree: Path) -> float:
    """A trial of one step and 20 test images of 32 px, so nearly all of it is the start."""
    return _marginal(tree, Work(_GLYPH, trials=21, epochs=1, test=1))


def rows() -> Iterator[Row]:
    trees = (before.ROOT, before.tree())
    ours, peer = interleave.in_turn(
        _ROUNDS, *(partial(cpu_seconds_of_a_trial, tree) for tree in trees)
    )
    yield Row(
        "ft on 20 photos, RN at 64 px, 800 test images", "CPU s", ours, peer, _BEFORE,
        less_is_better=True, least=1.4,
    )  # fmt: skip
    ours, peer = interleave.in_turn(
        _ROUNDS, *(partial(cpu_seconds_to_start, tree) for tree in trees)
    )
    yield Row(
        "start of a trial in a pack, one step", "CPU s", ours, peer, _BEFORE,
        less_is_better=True, most=0.1,
    )  # fmt: skip
    for size in (64, 224):
        yield augmented(size)
    for size in (64, 224):
        yield gathered(size)


def augmented(size: int) -> Row:
    rng = np.random.default_rng(0)
    view = torch.from_numpy(rng.integers(0, 256, (3, size, size), dtype=np.uint8))

    def as_before() -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            RandAugment(num_ops=2, magnitude=9)(view)

    ours, peer = interleave.in_turn(
        3,
        lambda: _milliseconds(lambda: randaugment(view, rng, True)),
        lambda: _milliseconds(as_before),
    )
    return Row(
        f"RandAugment of an image of {size} px", "ms", ours, peer, "torchvision and fork_rng",
        less_is_better=True,
    )  # fmt: skip


def gathered(size: int) -> Row:
    """Views from the cache, read again as each trial does, beside decoding them."""
    paths = sorted((photos.folder(_TEST) / "test").rglob("*.jpg"))[:400]
    images = ImageFiles(np.zeros(len(paths), dtype=np.int64), paths)
    chosen = np.arange(len(paths))
    with tempfile.TemporaryDirectory() as place:
        cache = DecodedCache(CachePlaces(StoreDir(Path(place))), {}, len(paths), size)
        kept = EvalImages(images, size, cache)
        list(kept.batches(chosen))  # decodes and writes
        begun = time.process_time()
        decoded = torch.cat(list(EvalImages(images, size).batches(chosen)))
        decoding = (time.process_time() - begun) / len(paths)
        fast = _milliseconds(lambda: list(kept.batches(chosen)), 5) / len(paths)
        assert torch.equal(torch.cat(list(kept.batches(chosen))), decoded)
    return Row(
        f"a view of {size} px from the cache", "ms", fast, decoding * 1000, "decoding it",
        less_is_better=True,
    )  # fmt: skip


def _milliseconds(work: Callable[[], object], times: int = 300) -> float:
    work()
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) / times * 1000


def main() -> None:
    args = table.arguments("finetuning_images", __doc__).parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    table.show(rows(), args.json)


if __name__ == "__main__":
    main()
