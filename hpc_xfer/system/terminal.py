"""Show the progress of one long step, as a bar or as a line per tenth in a log; make consoles.

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
    """Show progress on stderr: a bar in a terminal, ten lines in a log, which keeps them all."""
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


@contextmanager
def shown_bytes(what: str) -> Iterator[ProgressCallback]:
    """Show progress as `shown` does, but in bytes, with their rate; a total of 0 is unknown."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _TenthsOfBytes(what, lambda line: screen.print(line, markup=False))
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def size(number: float) -> str:
    """Return a number of bytes in words: `169 MB`, `6.5 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 999.5:
            digits = 1 if number < 9.95 and unit != "bytes" else 0
            return f"{number:.{digits}f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


class _Tenths:
    """Prints `packing: 3,000 of 10,000, 2 min to go` at each tenth."""

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
            amount = self._amount(done, total, self._began)
            self.say(f"{self.what}: {amount}{self._to_go(done, total, self._began)}")

    def _amount(self, done: int, total: int, began: float) -> str:
        return f"{done:,} of {total:,}"

    def _to_go(self, done: int, total: int, began: float) -> str:
        made = done - self._first  # in the time since we began
        if not made or done == total:
            return ""
        minutes = (time.monotonic() - began) * (total - done) / made / 60
        return f", {minutes:,.0f} min to go" if minutes >= 1 else ", less than a minute to go"


class _TenthsOfBytes(_Tenths):
    """Prints `real.zip: 1.7 GB of 5.6 GB, 35 MB/s, 2 min to go` at each tenth."""

    def __call__(self, done: int, total: int) -> None:
        if total:
            super().__call__(done, total)

    def _amount(self, done: int, total: int, began: float) -> str:
        rate = (done - self._first) / max(time.monotonic() - began, 1e-3)
        return f"{size(done)} of {size(total)}, {size(rate)}/s"


def console(stderr: bool = False) -> "Console":
    """Make a console; without a terminal tables are 120 wide, so that logs and tests are equal.

    Names, nodes and messages are printed unchanged: a bracket in them is no markup.
    """
    from rich.console import Console

    target = Console(stderr=stderr, highlight=False, markup=False)
    if target.is_terminal:
        return target
    return Console(stderr=stderr, highlight=False, markup=False, width=120)
