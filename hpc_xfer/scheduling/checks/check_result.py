"""Result of one check of the cluster, and the table of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class CheckResult:
    """Result of one check."""

    what: str
    well: bool
    found: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def render(results: Sequence[CheckResult]) -> "RenderableType":
    """A table of the results, then advice on each failed check."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from hpc_xfer.system.screen.plain_console import line

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "what", "found"):
        table.add_column(name)
    for result in results:
        mark = Text("ok", style="green") if result.well else Text("BAD", style="bold red")
        table.add_row(mark, result.what, line(result.found))
    failed = [result for result in results if not result.well]
    advice = [line(f"{result.what}: {result.advice}") for result in failed]
    last = f"{len(failed)} of {len(results)} checks failed:" if failed else "ready to launch"
    return Group(table, Text(last, style="bold"), *advice)
