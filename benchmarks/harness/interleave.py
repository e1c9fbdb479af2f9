"""Measure two programs in turn: ours, peer, ours, peer. Other load on the machine hits both.

Each side is a process of its own that answers requests on its standard input, one at a time; while
one measures, the other waits.
"""

import gc
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

_ROOT = Path(__file__).parent.parent.parent
_WARM = 3  # batches before the clock: processes start, buffers fill


class Side:
    """A process that measures when asked; used in a `with`."""

    def __init__(self, python: Path | str, module: str) -> None:
        self.module = module
        self._told = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [str(python), "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            text=True,
            cwd=_ROOT,
            env={
                **os.environ,
                "TQDM_DISABLE": "1",
                "HF_HUB_OFFLINE": "1",
            },
        )

    def ask(self, **request: Any) -> Any:
        """Return the measurement: a number, or several by name.

        Raises:
            RuntimeError: the process died; the message holds its last output.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        if not (line := self._process.stdout.readline()):
            self._told.seek(0)
            raise RuntimeError(f"{self.module} {request}: {self._told.read()[-3000:]}")
        return json.loads(line)

    def __enter__(self) -> "Side":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.communicate()  # closes its standard input, at which it ends
        self._told.close()


def serve(measures: Mapping[str, Callable[..., object]]) -> None:
    """Answer requests {"measure": name, ...} until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print to sys.stdout, too
    for line in sys.stdin:
        request = json.loads(line)
        answer = measures[request.pop("measure")](**request)
        _leave_none_working()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _leave_none_working() -> None:
    """A loader that is still referred to would go on decoding while the other side measures."""
    gc.collect()
    if left := multiprocessing.active_children():
        raise RuntimeError(f"{left} are still at work")


def urls(folder: str) -> str:
    """The shards of a folder in braces, as WebDataset takes them."""
    names = sorted(path.stem for path in Path(folder).glob("*.tar"))
    return f"{folder}/{{{names[0]}..{names[-1]}}}.tar"


def in_turn(rounds: int, *measures: Callable[[], float]) -> list[float]:
    """Return the median of each measure over the rounds."""
    taken = [[measure() for measure in measures] for _ in range(rounds)]
    return [median(values) for values in zip(*taken, strict=True)]


def rate(batches: Iterator[Any], images: int, seconds: float) -> float:
    """Images per second of an endless stream of batches with `images` each."""
    for _ in range(_WARM):
        next(batches)
    begun, done, elapsed = time.perf_counter(), 0, 0.0
    while elapsed < seconds:
        next(batches)
        done, elapsed = done + images, time.perf_counter() - begun
    return done / elapsed
