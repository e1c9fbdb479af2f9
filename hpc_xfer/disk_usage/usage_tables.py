"""Show what a store takes, and what may go."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpc_xfer.disk_usage.cleaning import Cleaned
from hpc_xfer.disk_usage.entries import Size
from hpc_xfer.disk_usage.usage import StoreUsage
from hpc_xfer.system import terminal

if TYPE_CHECKING:
    from rich.console import Console


def show(usage: StoreUsage, console: "Console", study: str) -> None:
    """Print a table of kinds, then one of what may go.

    Args:
        study: whose runs were asked about; "" for none.
    """
    from rich.table import Table

    from hpc_xfer.system.screen.plain_console import line

    measured = usage.measured
    kinds = Table("kind", title=line(f"store {measured.store.root}"), title_justify="left")
    for name in ("size", "files and folders"):
        kinds.add_column(name, justify="right")
    for kind, size in measured.kinds.items():
        if size.files:
            kinds.add_row(line(kind), *_cells(size))
    kinds.add_section()
    kinds.add_row(line("all"), *_cells(measured.total))
    if study:
        kinds.add_row(line(f"runs of {study}"), *_cells(measured.of_runs))
    console.print(kinds)
    if not usage.may_go:
        return
    table = Table("what may go", title_justify="left")
    for name in ("size", "files and folders"):
        table.add_column(name, justify="right")
    table.add_column("clean")
    for each in usage.may_go:
        table.add_row(
            line(each.what), *_cells(each.size), line(f"no: {each.kept}" if each.kept else "yes")
        )
    console.print(table)


def notes(usage: StoreUsage, arguments: str) -> Iterator[str]:
    """Yield what is in use, and the command that frees the rest.

    Args:
        arguments: by which the command finds the store.
    """
    if runs := usage.measured.runs:
        files = sum(each.size.files for each in runs.values()) / len(runs)
        yield f"{terminal.counted(len(runs), 'run')}, with {files:.1f} files and folders each"
    if told := usage.used.sentence():
        yield told
    if usage.to_clean.files:
        command = " ".join(("python -m hpc_xfer.store clean", arguments)).strip()
        yield (
            f"{_text(usage.to_clean)} may go at once: {command} "
            "(with --dry-run it only says what it would remove)"
        )
    else:
        yield "nothing is left over"


def told(cleaned: Cleaned, is_dry: bool) -> Iterator[str]:
    """Yield what was, or would be, removed."""
    verb = "would remove" if is_dry else "removed"
    for what, size in cleaned.removed:
        yield f"{verb} {what}: {_text(size)}"
    if not cleaned.removed:
        yield "nothing to remove"
    elif len(cleaned.removed) > 1:
        yield f"{verb} {_text(cleaned.total)} in all"


def _text(size: Size) -> str:
    what = "file or folder" if size.files == 1 else "files and folders"
    return f"{terminal.size(size.bytes)} in {size.files:,} {what}"


def _cells(size: Size) -> tuple[str, str]:
    return terminal.size(size.bytes), f"{size.files:,}"
