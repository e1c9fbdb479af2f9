"""The terminal: a console, and the progress of one long step: a bar, or a line per tenth in a log.

with shown("packing") as progress:
    progress(done, total)
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where they are used, so that --help starts at once
    from rich.console import Console

ProgressCallback = Callable[[int, int], None]  # done, total; the first call: done before


@contextmanager
def shown(what: str) -> Iterator[ProgressCallback]:
    """On stderr; a log keeps every line it gets, so it gets ten."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Tenths(what, lambda line: screen.print(line, markup=False))
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Tenths:
    """`packing: 3,000 of 10,000, 2 min to go`."""

    def __init__(self, what: str, say: Callable[[str], None]) -> None:
        self.what, self.say = what, say
        self._began: float | None = None
        self._first = self._tenth = 0

    def __call__(self, done: int, total: int) -> None:
        if self._began is None:
            self._began, self._first = time.monotonic(), done
        tenth = done * 10 // total
        if tenth > self._tenth:
            self._tenth = tenth
            self.say(f"{self.what}: {done:,} of {total:,}{self._to_go(done, total, self._began)}")

    def _to_go(self, done: int, total: int, began: float) -> str:
        made = done - self._first
        if not made or done == total:
            return ""
        minutes = (time.monotonic() - began) * (total - done) / made / 60
        return f", {minutes:,.0f} min to go" if minutes >= 1 else ", less than a minute to go"


def console(stderr: bool = False) -> "Console":
    """Tables keep their width where there is no terminal, so that logs and tests read the same.

    Names, nodes and messages are shown as they are: a bracket in them is no mark-up.
    """
    from rich.console import Console

    target = Console(stderr=stderr, highlight=False, markup=False)
    if target.is_terminal:
        return target
    return Console(stderr=stderr, highlight=False, markup=False, width=120)
