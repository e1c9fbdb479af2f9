"""A small /dev/shm, as in a container that was started without --shm-size."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests import tiny
from tests.cluster import mounts

ROOT = Path(__file__).parent.parent
# A batch is 64 images of 32 px: 0.2 MB, and six of them are on their way.
GRID = """
name: tiny
question: Is a lack of shared memory told?
pretrain:
  - {method: clip, arch: ROOT/grids/archs/glyph.json, source: sans, samples: 256, epochs: 4,
     batch: 64}
resources: {pretrain: {minutes: 1, workers: 2, gpus: RANKS, log_steps: 1}}
"""
ENDED = 600  # seconds; a loader that waits for ever waits longer, a busy machine does not

pytestmark = pytest.mark.skipif(
    not mounts.are_allowed(), reason="a /dev/shm of its own needs root, and may be forbidden"
)


def launch(folder: Path, size: str, ranks: int = 1) -> tuple[int, dict[str, Any] | None]:
    """Launch the grid where /dev/shm has this size; return exit code and why the run failed."""
    shards = tiny.source(folder / "sans")
    grid, site, store = folder / "tiny.yaml", folder / "site.yaml", folder / "store"
    grid.write_text(GRID.replace("ROOT", str(ROOT)).replace("RANKS", str(ranks)))
    site.write_text(json.dumps({"sources": {"sans": str(shards)}}))
    line = [sys.executable, "-m", "hpc_xfer.launch", str(grid), "--store", str(store)]
    line += ["--site", str(site), "--on", "local"]
    done = subprocess.run(
        mounts.with_shared_memory(size, *line),
        cwd=ROOT, capture_output=True, text=True, timeout=ENDED,
    )  # fmt: skip
    run = make_plan(load_study(grid)).runs[0]
    return done.returncode, failures.read(Store(store).run(run.id))


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_batch_that_finds_no_room_is_told_with_the_way_out(tmp_path: Path, ranks: int) -> None:
    code, failure = launch(tmp_path, "200k", ranks)
    assert code == 1 and failure is not None
    assert failure["class"] == "shared memory"
    assert failure["message"].startswith(
        "the loading processes cannot hand over their batches: /dev/shm has 205 kB"
    )
    assert "this process needs about" in failure["message"]
    assert "--shm-size" in failure["message"] and "workers: 0" in failure["message"]


def test_loading_processes_that_cannot_start_are_told_too(tmp_path: Path) -> None:
    """Their semaphores lie in /dev/shm."""
    code, failure = launch(tmp_path, "8k")
    assert code == 1 and failure is not None and failure["class"] == "shared memory"
    assert failure["message"].startswith("the loading processes cannot start: /dev/shm has 8.19 kB")


def test_enough_for_the_batches_on_their_way_is_enough(tmp_path: Path) -> None:
    assert launch(tmp_path, "2m") == (0, None)
