"""Run two programs at the same time on one core, which takes turns every few milliseconds.

The speed of a shared machine wanders by half from minute to minute, and from core to core. Pairs
on one core differ by 1%, where pairs on a core each differed by 18% (loading images, 4 s each).
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import before


@dataclass(frozen=True)
class Used:
    """What a program that has ended used and printed."""

    cpu_s: float  # user and system, of all threads and of all processes that it waited for
    printed: str


def pairs(
    ours: Sequence[str],
    theirs: Sequence[str],
    old: Path,
    rounds: int,
    prepare: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Used, Used]]:
    """Run the package at hand and that of an older commit, `rounds` times.

    Args:
        ours: words after `python`.
        theirs: the same for the older commit.
        old: its folder; see before.tree.
        prepare: called before each round.
    """
    cores = itertools.cycle(sorted(os.sched_getaffinity(0)))
    for core in itertools.islice(cores, rounds):
        prepare()
        sides = _start(ours, before.ROOT, core), _start(theirs, old, core)
        yield _ended(sides[0]), _ended(sides[1])


def _start(words: Sequence[str], tree: Path, core: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, *words], cwd=tree, env=before.environment(tree),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.sched_setaffinity(process.pid, {core})
    return process


def _ended(process: "subprocess.Popen[str]") -> Used:
    assert process.stdout is not None
    with process.stdout:
        printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{process.args!r} ended with {process.returncode}"
    return Used(used.ru_utime + used.ru_stime, printed)
