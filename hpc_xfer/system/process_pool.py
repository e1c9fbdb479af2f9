"""Call one function on many items in several processes; results come in the order of completion.

    for number, result in process_pool.results(function, items, workers=8): ...

The processes are forked from a server that imported the function's module once: torch is not
imported 64 times for 64 cores. They end with us, however we end: they see our end of a pipe close.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from hpc_xfer.errors import DataError
from hpc_xfer.system import machine

Item = TypeVar("Item")
Result = TypeVar("Result")
_ITEMS_EACH = 2  # submitted per process: one that runs, one that waits


def results(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[tuple[int, Result]]:
    """Yield (number of the item, function(item)) in the order of completion.

    One worker, or one item, needs no other process. Items are taken from `items` only when needed.

    Raises:
        DataError: a process was killed.
        Whatever `function` raises; the other processes are then ended.
    """
    numbered = enumerate(items)
    first = list(islice(numbered, 2))
    if workers == 1 or len(first) < 2:
        for number, item in _chained(first, numbered):
            yield number, function(item)
        return
    yield from _parallel(function, _chained(first, numbered), workers)


def _parallel(
    function: Callable[[Item], Result], items: Iterator[tuple[int, Item]], workers: int
) -> Iterator[tuple[int, Result]]:
    machine.shorten_socket_paths()
    context = get_context("forkserver")
    context.set_forkserver_preload([_module(function)])
    ours, theirs = context.Pipe()
    pool = ProcessPoolExecutor(workers, context, initializer=_end_with, initargs=(theirs,))
    running: dict[Future[Result], int] = {}
    try:
        while True:
            for number, item in islice(items, _ITEMS_EACH * workers - len(running)):
                running[pool.submit(function, item)] = number
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()
        pool.shutdown()
    except BrokenProcessPool as error:
        raise DataError(
            "a process was killed, probably for its memory; run again with fewer --workers"
        ) from error
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()


def _end_with(owner: Connection) -> None:
    """End this process when its owner closes the other end of the pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the owner decides
    threading.Thread(target=_watch, args=(owner,), daemon=True).start()


def _watch(owner: Connection) -> None:
    owner.poll(None)  # True at the end of the pipe: nothing is ever sent
    os._exit(1)


def _chained(first: list[tuple[int, Item]], rest: Iterator[tuple[int, Item]]) -> Iterator[Any]:
    yield from first
    yield from rest


def _module(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    return function.__module__
