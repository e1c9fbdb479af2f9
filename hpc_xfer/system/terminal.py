"""Print lines, JSON and tables; show the progress of one long step, as a bar or as lines in a log.

say("3 problems", stderr=True)
say_json({"problems": 3})
with shown("packing") as progress:
    progress(done, total)

All that a person sees goes through here, since it may hold text of others; see plain_text.py.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from hpc_xfer.system.screen.output_stream import OutputStream
from hpc_xfer.system.screen.plain_stream import PlainStream
from hpc_xfer.system.screen.plain_text import plain

if TYPE_CHECKING:  # imported where they are used, so that --help starts at once
    from rich.console import Console

ProgressCallback = Callable[[int, int], None]  # done, total; the first call: done before


def say(*sentences: str, lines: bool = False, stderr: bool = False) -> None:
    """Print each sentence in one line, and at once.

    Args:
        sentences: may hold text of others; a line break in it is shown as an escape.
        lines: keep line breaks and tabs: the text is a script.
        stderr: print to standard error.
    """
    for sentence in sentences:
        print(plain(sentence, lines), file=sys.stderr if stderr else sys.stdout, flush=True)


def say_json(content: object, indent: int | None = 2, sort_keys: bool = False) -> None:
    """Print JSON for a script, at once; control characters are escapes of JSON."""
    print(json_text(content, indent, sort_keys), flush=True)


def json_text(content: object, indent: int | None = None, sort_keys: bool = False) -> str:
    """Format JSON in printable ASCII; json.dumps alone leaves DEL as it is."""
    text = json.dumps(content, indent=indent, sort_keys=sort_keys)
    return text.replace("\x7f", r"\u007f")


def guard_streams() -> None:
    """Let all that this process prints go through PlainStream; a console has a door of its own.

    A standard stream that was closed (`2>&-`) leads to nothing: the next file would get its number,
    and what a library prints would go into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, PlainStream):
            setattr(sys, name, PlainStream(OutputStream(stream)))


def outlive_readers() -> None:
    """Go on with the work of this process when its output cannot be written any more."""
    OutputStream.outlives_readers = True


def finish_output() -> list[str]:
    """Write what Python still holds of the output; tell of what could not be written."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]  # not closed
    for stream in streams:
        stream.flush()
    return [lost for stream in streams if (lost := getattr(stream, "lost", ""))]


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
    screen, what = console(stderr=True), plain(what)
    if not is_live(screen):
        yield log(what, lambda line: screen.print(line, markup=False))
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *counts(progress),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def counted(count: int, word: str, plural: str = "s") -> str:
    """Return a number with its noun: `1 run`, `1,200 runs`."""
    return f"{count:,} {word}{plural if count != 1 else ''}"


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


def is_live(screen: "Console") -> bool:
    """Tell whether a screen can be drawn over: rich draws nothing live where TERM is `dumb`."""
    return screen.is_terminal and not screen.is_dumb_terminal


def console(stderr: bool = False) -> "Console":
    """Make a console; without a terminal tables are 120 wide, so that logs and tests are equal.

    Names, nodes and messages are printed unchanged, but for what a terminal would obey: a bracket
    in them is no markup, and `:cat:` no picture.
    """
    from hpc_xfer.system.screen.plain_console import PlainConsole

    file = sys.stderr if stderr else sys.stdout
    file = getattr(file, "unfiltered", file)
    target = PlainConsole(file=file, highlight=False, markup=False, emoji=False)
    if target.is_terminal:
        return target
    return PlainConsole(file=file, highlight=False, markup=False, emoji=False, width=120)
