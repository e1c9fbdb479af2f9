"""A job to submit, as data."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One call of sbatch: the command and its resources."""

    name: str
    command: tuple[str, ...]  # of each task
    logs: Path  # folder
    minutes: float
    tasks: int = 1  # processes in all, with a GPU each if `gpus`
    gpus: bool = True
    array: int | None = None  # elements
    at_once: int | None = None  # elements that may run at the same time
    after_ok: tuple[str, ...] = ()  # job ids: all must have succeeded
    after_any: tuple[str, ...] = ()  # all must have ended
    after_one: tuple[str, ...] = ()  # one must have ended
    begin_minutes: int = 0  # earliest start, from now
    memory_per_gpu: float | None = None  # GB; None: the site's
    exclude: tuple[str, ...] = ()  # nodes, in addition to the site's
    relay: bool = False  # a small CPU job with the resources of the site's `relay`


@dataclass(frozen=True)
class Limits:
    """The most that Slurm takes now."""

    array: int = 1001  # elements of one array
    room: int | None = None  # elements that still fit into the queue; None: unknown
