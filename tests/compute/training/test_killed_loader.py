"""A loading process that is killed is told once, whatever shows it first."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.training.loading.data_loader import BatchLoader
from hpc_xfer.compute.training.objective import Batch
from tests.waiting import wait_for


class SocketsCloseBeforeTheEnd:
    """Gives a batch, closes all that it has open, and is killed a third of a second later."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def pieces(self, steps: range, worker: int, workers: int) -> Iterator[Batch]:
        yield {"images": torch.zeros(1000)}
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the thread at the socket complains
        os.closerange(3, 1000)
        self.file.write_text(str(os.getpid()))
        signal.setitimer(signal.ITIMER_REAL, 0.3)  # SIGALRM ends it
        signal.pause()


def is_over(process: str) -> bool:
    path = Path(f"/proc/{process}/stat")
    return not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.filterwarnings("ignore:.*use of fork.* may lead to deadlocks:DeprecationWarning")
def test_a_loader_whose_sockets_close_before_it_dies_is_told_once(tmp_path: Path) -> None:
    """torch raises from a signal handler when it dies, wherever this process is at that moment."""
    batches = SocketsCloseBeforeTheEnd(tmp_path / "process")
    loaded = BatchLoader(batches, range(4), 1, torch.device("cpu")).loaded()
    with pytest.raises(MemoryError, match="a loading process was killed") as error:
        list(loaded)
    wait_for(batches.file.exists)
    wait_for(lambda: is_over(batches.file.read_text()))  # nothing is raised here
    assert error.value.__cause__ is not None
