"""Records of fine-tunings are the same whether caches in the store are cold, warm or damaged."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.run_pack import PackRunner
from hpc_xfer.config.site import Site
from hpc_xfer.store.pack_file import LoadedPack
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from tests import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, with a space in its name, with a parent in a store and noisy photos."""
    folder = tmp_path_factory.mktemp("a place")
    tiny.finished(Store(folder / "a store"), tiny.pretraining("scratch"))
    rng = np.random.default_rng(0)
    for split, n in (("train", 12), ("test", 15)):
        for name in ("big_cat", "dog"):
            (folder / "my animals" / split / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                path = folder / "my animals" / split / name / f"{i}.jpg"
                Image.fromarray(pixels).save(path)
    return folder


def result(place: Path, run: Run) -> tuple[dict[str, Any], bytes]:
    """Execute a run in a worker of its own, as often as it is asked."""
    store = Store(place / "a store")
    shutil.rmtree(store.run(run.id).path, ignore_errors=True)
    store.write_recipe(run)
    site = Site(datasets={"animals": str(place / "my animals")})
    runner = PackRunner(store, site, ProcessRank(), StopSignal(), lambda event: None)
    runner.execute(LoadedPack("test", (run,), tiny.FINETUNE))
    return tiny.result(store.run(run.id)), store.run(run.id).hits.read_bytes()


@pytest.mark.parametrize("mode", ["ft", "lp"])
def test_cold_warm_and_damaged_caches_give_the_same_record(mode: str, place: Path) -> None:
    trained: dict[str, Any] = {"batch": 4, "randaugment": True} if mode == "ft" else {}
    parent = tiny.pretraining("scratch")
    run = tiny.finetuning(parent, mode, dataset="animals", shots=2, **trained)
    cache = place / "a store/cache"
    shutil.rmtree(cache, ignore_errors=True)
    cold = result(place, run)
    files = [*cache.rglob("array")]
    assert files
    warm = result(place, run)
    for path in files:
        os.truncate(path, path.stat().st_size // 2)
    damaged = result(place, run)
    shutil.rmtree(cache)
    cache.write_bytes(b"no folder can be made here")
    without = result(place, run)
    cache.unlink()
    assert cold == warm == damaged == without
