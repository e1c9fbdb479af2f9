"""Show the progress of one long step, as a bar or as a line per tenth in a log; make consoles.

with shown("packing") as progress:
    progress(done, total)
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported where they are used, so that --help starts at once
    from rich.console import Console

ProgressCallback = Callable[[int, int], None]  # done, total; the first call: done before


def shown(what: str) -> AbstractContextManager[ProgressCallback]:
    """Show progress on stderr: a bar in a terminal, ten lines in a log, which keeps them all."""
    return _shown(what, _Tenths, lambda rich: (rich.MofNCompleteColumn(),))


def shown_bytes(what: str) -> AbstractContextManager[ProgressCallback]:
    """Show progress as `shown` does, but in bytes, with their rate; a total of 0 is unknown."""
    return _shown(
        what, _TenthsOfBytes, lambda rich: (rich.DownloadColumn(), rich.TransferSpeedColumn())
    )


@contextmanager
def _shown(
    what: str, log: "type[_Tenths]", counts: Callable[[Any], tuple[Any, ...]]
) -> Iterator[ProgressCallback]:
    """Show progress with the given columns of rich.progress between the bar and the time left."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield log(what, lambda line: screen.print(line, markup=False))
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *counts(progress),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def size(count: float) -> str:
    """Return a number of bytes in words: `169 MB`, `6.49 GB`."""
    value, unit = float(f"{count:.3g}"), "B"  # rounded first, since 999,999 B is 1 MB
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:g} {unit}"


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
