"""One call of sbatch, as data."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One call of sbatch: what it is to start and what that needs."""

    name: str
    command: tuple[str, ...]  # of each task
    logs: Path  # folder
    minutes: float
    tasks: int = 1  # processes in all; each has a GPU where `gpus`
    gpus: bool = True
    array: int | None = None  # elements
    at_once: int | None = None  # of the array
    after_ok: tuple[str, ...] = ()  # job ids: all must have succeeded
    after_any: tuple[str, ...] = ()  # all must have ended
    after_one: tuple[str, ...] = ()  # one must have ended
    begin_minutes: int = 0  # not before that from now
    memory_per_gpu: float | None = None  # GB, instead of the site's
    exclude: tuple[str, ...] = ()  # nodes, besides the site's
    relay: bool = False  # a small CPU job: where and how large is said by the site's `relay`


@dataclass(frozen=True)
class Limits:
    """What Slurm would take now."""

    array: int = 1001  # elements of one array
    room: int | None = None  # more elements; None: nothing known
