"""The actions of the shards command: characters, make, index and check."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_files import oddity
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.terminal import counted, say, say_json, shown

if TYPE_CHECKING:  # these import torch
    from hpc_xfer.compute.shard_tools.inputs import Input
    from hpc_xfer.compute.shard_tools.pack import PackResult
    from hpc_xfer.compute.shard_tools.reencode import Reencoding
    from hpc_xfer.compute.shard_tools.source_index.index_columns import WantedColumns

_OF_TABLES = ("image_column", "caption_column", "label_column", "labels", "separator", "quoting")


def characters(args: argparse.Namespace) -> int:
    """Render the chosen sources, unless they are there already."""
    from hpc_xfer.compute.shard_tools.rendered_characters import RenderedInput

    made = []
    for source in dict.fromkeys(args.source):
        rendered = RenderedInput(source, args.samples, args.classes, args.size, args.seed)
        result = _render(rendered, args.out / source, args.workers)
        made.append(result.index)
        _say(args, f"{result.index.folder}: {_contents(result)}")
    if args.json:
        say_json([_facts(each) for each in made])
    return 0


def make(args: argparse.Namespace) -> int:
    """Pack an image folder, a table or a torchvision data set into shuffled shards."""
    from hpc_xfer.compute.shard_tools.pack import PackOptions, pack
    from hpc_xfer.compute.shard_tools.reencode import QUALITY, Reencoding

    reencoding = None
    if args.short_side or args.quality:
        reencoding = Reencoding(args.short_side, args.quality or QUALITY)
    options = PackOptions(args.per_shard, args.shard_mb, args.seed, reencoding)
    with shown("packing") as progress:
        source = _input(args, reencoding)
        try:
            result = pack(args.out, source, options, args.workers, args.max_broken, progress)
        except DataError:  # its reason may be in the notes
            for note in source.notes:
                _say(args, f"note: {note}")
            raise
    _say(args, f"{args.out}: {_contents(result)}")
    notes = [*source.notes, *_uses(result)]
    for note in notes:
        _say(args, f"note: {note}")
    if args.json:
        facts = {**_facts(result.index), "broken": result.broken, "notes": notes}
        say_json(facts)
    return 0


def index(args: argparse.Namespace) -> int:
    """Write index.json beside the shards of a folder or a pattern."""
    from hpc_xfer.compute.shard_tools.build_index import index_folder

    with shown("indexing") as progress:
        wanted = _columns(args)
        report = index_folder(args.place, args.workers, args.label_key, progress, wanted)
    _say(args, f"{report.index.folder}: {_count(report.index)}")
    for warning in report.warnings:
        _say(args, f"warning: {warning}")
    if args.json:
        numbers = {
            "pattern": report.index.pattern,
            "oddities": oddity.as_json(report.index.oddities),
            "warnings": report.warnings,
        }
        say_json(_facts(report.index) | numbers)
    return 0


def check(args: argparse.Namespace) -> int:
    """List what is wrong with the shards of a folder; return 1 if anything is."""
    from hpc_xfer.compute.shard_tools import verify

    with shown("checking") as progress:
        report = verify.check(args.folder, args.workers, progress)
    if args.json:
        say_json(asdict(report))
        return 1 if report.problems else 0
    for problem in report.problems:
        place = None if problem.offset is None else f"byte {problem.offset:,}"
        say(": ".join(filter(None, (problem.shard, problem.key, place, problem.what))))
    if report.notes:
        unusual = ", ".join(f"{n:,} {what}" for what, n in report.notes.items())
        say(f"unusual, but readable: {unusual}")
    for each in report.left_out:
        say(f"left out: {each.number:,} {each.what}, the first {each.first} in {each.shard}")
    say(*report.not_used)
    problems = counted(len(report.problems), "problem") if report.problems else "no problems"
    say(f"{args.folder}: {counted(report.samples, 'sample')}, {problems}")
    return 1 if report.problems else 0


def _columns(args: argparse.Namespace) -> "WantedColumns | None":
    """Read the options on columns.

    Raises:
        StudyError: a table is given without columns.
    """
    from hpc_xfer.compute.shard_tools.source_index.column_table import ColumnTable
    from hpc_xfer.compute.shard_tools.source_index.index_columns import WantedColumns
    from hpc_xfer.compute.shard_tools.tables import table_files

    if args.columns is None:
        if args.table is not None:
            raise StudyError("--table needs --columns, the names of the columns to take from it")
        return None
    table = None
    if args.table is not None:
        files = tuple(table_files.find(args.table))
        if not files:
            raise StudyError(
                f"{args.table}: no table is there (.csv .tsv .parquet); correct --table"
            )
        table = ColumnTable(files, args.table_key, args.table)
    return WantedColumns(args.columns, table)


def _render(rendered: "Input", folder: Path, workers: int) -> "PackResult":
    from hpc_xfer.compute.shard_tools.pack import MADE, PackOptions, pack, remove_shards

    options = PackOptions(seed=None)  # they are shuffled already
    made = atomic_files.read_json(folder / MADE, follow=True)
    if isinstance(made, dict) and made.get("call") != options.call(rendered):
        if "characters" not in made.get("call", {}).get("input", {"characters": None}):
            raise StudyError(
                f"{folder}: holds shards that `shards characters` did not make; name another folder"
            )
        remove_shards(folder)  # rendered with other options: both can be made again
    with shown(f"rendering {folder.name}") as progress:
        return pack(folder, rendered, options, workers, progress=progress)


def _input(args: argparse.Namespace, reencoding: "Reencoding | None") -> "Input":
    """Open SOURCE. Each kind of input is imported only when it is needed."""
    if args.torchvision is not None:
        from hpc_xfer.compute.shard_tools.torchvision_input import TorchvisionSet

        _refuse_unused(args, _OF_TABLES, "a table")
        split = "train" if args.split is None else args.split
        return TorchvisionSet(args.torchvision, args.root.absolute(), split, reencoding)
    _refuse_unused(args, ("split", "root"), "torchvision:NAME")
    from hpc_xfer.compute.shard_tools.tables import table_files

    if tables := table_files.find(args.source):
        from hpc_xfer.compute.shard_tools.table_input import Table, TableForm
        from hpc_xfer.compute.shard_tools.tables.table_rows import Columns

        image = Columns.image if args.image_column is None else args.image_column
        columns = Columns(image, args.caption_column, args.label_column)
        if tables[0].suffix.lower() == ".parquet":
            _refuse_unused(args, ("separator", "quoting"), "a .csv or .tsv")
        form = TableForm(args.separator, args.quoting, args.labels)
        table = Table(tables, columns, reencoding, form, args.out / shard_index.MAKING)
        table.notes += table_files.left_unread(args.source, tables)
        return table
    from hpc_xfer.compute.shard_tools.inputs import ImageFolder

    _refuse_unused(args, _OF_TABLES, "a table")
    return ImageFolder(Path(args.source), reencoding)


def _refuse_unused(args: argparse.Namespace, options: Sequence[str], use: str) -> None:
    """Refuse an option that changes nothing for this SOURCE: its user expects something else.

    Raises:
        StudyError: it names the first such option.
    """
    given = [option for option in options if getattr(args, option) is not None]
    if not given:
        return
    from hpc_xfer.compute.shard_tools.tables import table_files

    inside = table_files.first_inside(Path(args.source)) if options is _OF_TABLES else None
    such_as = "" if inside is None else f", such as {inside}"
    raise StudyError(
        f"--{given[0].replace('_', '-')} is for {use}, which {args.source} is not; leave it out, "
        f"or correct SOURCE{such_as}"
    )


def _uses(result: "PackResult") -> list[str]:
    """Say what is broken, and what shards without captions cannot be used for."""
    from hpc_xfer.compute.shard_tools.pack import first_broken

    notes = []
    if result.broken:
        notes.append(f"the first broken one: {first_broken(result.index.folder)}")
    if "txt" not in result.index.fields:
        labels = "" if "cls" in result.index.fields else " and no labels"
        fit = "simclr alone" if labels else "simclr and supervised, not for clip by captions"
        notes.append(f"the images have no captions{labels}: they are fit for {fit}")
    return notes


def _say(args: argparse.Namespace, line: str) -> None:
    if not args.json:
        say(line)


def _contents(result: "PackResult") -> str:
    from hpc_xfer.compute.shard_tools.pack import BROKEN

    broken = f", {result.broken:,} broken left out ({BROKEN})" if result.broken else ""
    return f"{_count(result.index)}{broken}{'' if result.is_new else ', made before'}"


def _count(index: ShardIndex) -> str:
    classes = "" if index.classes is None else f", {counted(len(index.classes), 'class', 'es')}"
    shards = counted(len(index.entries), "shard")
    return f"{counted(index.samples, 'sample')} in {shards}{classes}"


def _facts(index: ShardIndex) -> dict[str, object]:
    return {
        "folder": str(index.folder),
        "samples": index.samples,
        "shards": len(index.entries),
        "classes": None if index.classes is None else len(index.classes),
        "fields": list(index.fields),
        "json_keys": list(index.json_keys),
        "fingerprint": index.fingerprint,
    }
