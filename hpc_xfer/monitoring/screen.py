"""Fit the state of a study to a screen: summary, failures and relay stay in sight.

live.update(fitted(study, console))
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpc_xfer.monitoring.sentences import MUST, StatusSentence
from hpc_xfer.monitoring.shown_table import rows_that_fit
from hpc_xfer.monitoring.status_tables import parts_of
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.system import terminal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_SHARE = 1 / 2  # of the screen: what sentences take of it, while there is room for tables


def fitted(study: StudyState, console: "Console") -> "RenderableType":
    """Draw a study in no more lines than the screen has; tables get what sentences leave."""
    from rich.console import Group

    from hpc_xfer.system.screen.plain_console import line

    lines = console.height - 1  # the cursor is in the last one
    tables, sentences = parts_of(study)
    for share in (_SHARE, 1.0):
        kept = _kept(sentences, lines, share, console)
        below = [each.text for each in kept]
        if more := len(sentences) - len(kept):
            left = terminal.counted(more, "more line")
            below.append(f"... {left}; `status` without --watch has all")
        room = lines - sum(_height(text, console) for text in below)
        counts = rows_that_fit(tables, room)
        if any(counts):
            break
    above = [table.drawn(most) for table, most in zip(tables, counts, strict=True) if most]
    return Group(*above, *map(line, below))


def fitted_lines(lines: Sequence[str], console: "Console") -> "RenderableType":
    """Draw lines, each in one line of the screen; those at the end are cut."""
    from rich.console import Group

    from hpc_xfer.system.screen.plain_console import line

    most = console.height - 1
    kept = list(lines)
    if len(kept) > most:
        kept = [*kept[: most - 1], f"... {len(lines) - most + 1:,} more lines"]
    return Group(*(line(text, no_wrap=True, overflow="ellipsis") for text in kept))


def _kept(
    sentences: Sequence[StatusSentence], lines: int, share: float, console: "Console"
) -> list[StatusSentence]:
    """Leave out sentences of low rank, the last first, until tables have room."""
    kept = list(sentences)

    def needed() -> int:
        return sum(_height(each.text, console) for each in kept) + (len(kept) < len(sentences))

    while needed() > lines * share and (rank := max(each.rank for each in kept)) > MUST:
        del kept[max(i for i, each in enumerate(kept) if each.rank == rank)]
    while needed() > lines and len(kept) > 2:
        del kept[-2]  # the first is the summary, the last tells of the relay
    return kept


def _height(text: str, console: "Console") -> int:
    from hpc_xfer.system.screen.plain_console import line

    return len(console.render_lines(line(text)))
