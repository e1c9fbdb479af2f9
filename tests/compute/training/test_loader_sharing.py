"""Batches go from loading processes to the encoder; what keeps them from it is told."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.training.loading.data_loader import UNSHARED, BatchLoader
from hpc_xfer.compute.training.objective import Batch

ROOT = Path(__file__).parents[3]


class Numbers:
    """Batches of the number of their step; pieces of several processes share it."""

    def pieces(self, steps: range, worker: int, workers: int) -> Iterator[Batch]:
        for step in steps:
            yield {"images": torch.full((2,), step), "labels": torch.tensor([worker]), "broken": []}


@pytest.fixture
def few_open_files() -> Iterator[None]:
    """Allows 30 more open files than there are, until somebody raises the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.filterwarnings("ignore:.*use of fork.* may lead to deadlocks:DeprecationWarning")
@pytest.mark.usefixtures("few_open_files")
def test_batches_that_wait_are_open_files_and_there_may_be_many() -> None:
    loaded = list(BatchLoader(Numbers(), range(40), 1, torch.device("cpu")).loaded())
    assert [int(batch["images"][0]) for batch in loaded] == list(range(40))


WITHOUT_ROOM_FOR_SOCKETS = """
import tempfile
import torch
from hpc_xfer.compute.training.loading.data_loader import BatchLoader
from tests.compute.training.test_loader_sharing import Numbers
tempfile.tempdir = "/proc/nowhere"
print(list(BatchLoader(Numbers(), range(4), 2, torch.device("cpu")).loaded()))
"""


def test_a_folder_without_room_for_a_socket_is_told() -> None:
    """Its error would be lost in the thread of a queue, and the loader would wait for ever."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOM_FOR_SOCKETS],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    begin = f"[{{'{UNSHARED}': 'the loading processes cannot hand over their batches: no socket can"
    assert done.stdout.startswith(begin), done.stderr
    assert "set TMPDIR to a folder of the node that has some" in done.stdout
