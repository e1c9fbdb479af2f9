"""The actions of the shards command: render, make, index and check."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import StudyError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.terminal import shown

if TYPE_CHECKING:  # these load torch
    from hpc_xfer.compute.shard_tools.inputs import Input
    from hpc_xfer.compute.shard_tools.pack import PackResult
    from hpc_xfer.compute.shard_tools.reencode import Reencoding


def characters(args: argparse.Namespace) -> int:
    """Render the asked sources, passing over those that are there already."""
    from hpc_xfer.compute.shard_tools.rendered_characters import RenderedInput

    made = []
    for source in dict.fromkeys(args.source):
        rendered = RenderedInput(source, args.samples, args.classes, args.size, args.seed)
        packed = _render(rendered, args.out / source, args.workers)
        made.append(packed.index)
        _say(args, f"{packed.index.folder}: {_contents(packed)}")
    if args.json:
        print(json.dumps([_facts(found) for found in made], indent=2))
    return 0


def make(args: argparse.Namespace) -> int:
    """An image folder, a table or a torchvision data set to shuffled shards."""
    from hpc_xfer.compute.shard_tools.pack import PackOptions, pack
    from hpc_xfer.compute.shard_tools.reencode import QUALITY, Reencoding

    small = None
    if args.short_side or args.quality:
        small = Reencoding(args.short_side, args.quality or QUALITY)
    packing = PackOptions(args.per_shard, args.shard_mb, args.seed, small)
    with shown("packing") as progress:
        found = pack(
            args.out, _input(args, small), packing, args.workers, args.max_broken, progress
        )
    _say(args, f"{args.out}: {_contents(found)}")
    if args.json:
        print(json.dumps({**_facts(found.index), "broken": found.broken}, indent=2))
    return 0


def index(args: argparse.Namespace) -> int:
    """Write index.json beside the shards of a folder."""
    from hpc_xfer.compute.shard_tools.build_index import index_folder

    with shown("indexing") as progress:
        found = index_folder(args.folder, args.workers, args.label_key, progress)
    _say(args, f"{args.folder}: {_count(found.index)}")
    for warning in found.warnings:
        _say(args, f"warning: {warning}")
    if args.json:
        print(json.dumps({**_facts(found.index), "warnings": found.warnings}, indent=2))
    return 0


def check(args: argparse.Namespace) -> int:
    """List what is broken in the shards of a folder; 1 if anything is."""
    from hpc_xfer.compute.shard_tools import verify

    with shown("checking") as progress:
        found = verify.check(args.folder, args.workers, progress)
    if args.json:
        print(json.dumps(asdict(found), indent=2))
        return 1 if found.problems else 0
    for problem in found.problems:
        where = None if problem.offset is None else f"byte {problem.offset:,}"
        print(": ".join(filter(None, (problem.shard, problem.key, where, problem.what))))
    if found.notes:
        print("read, but unusual:", ", ".join(f"{n:,} {what}" for what, n in found.notes.items()))
    problems = f"{len(found.problems):,} problems" if found.problems else "all is well"
    print(f"{args.folder}: {found.samples:,} samples, {problems}")
    return 1 if found.problems else 0


def _render(rendered: "Input", folder: Path, workers: int) -> "PackResult":
    from hpc_xfer.compute.shard_tools.pack import MADE, PackOptions, pack, remove_shards

    packing = PackOptions(seed=None)  # they are shuffled already
    made = atomic_files.read_json(folder / MADE)
    if isinstance(made, dict) and made.get("call") != packing.call(rendered):
        if "characters" not in made.get("call", {}).get("input", {"characters": None}):
            raise StudyError(f"{folder}: holds shards that were not rendered; name another folder")
        remove_shards(folder)  # rendered otherwise: either can be made again
    with shown(f"rendering {folder.name}") as progress:
        return pack(folder, rendered, packing, workers, progress=progress)


def _input(args: argparse.Namespace, small: "Reencoding | None") -> "Input":
    """What SOURCE means. Each kind is loaded only when it is asked for."""
    if args.torchvision is not None:
        from hpc_xfer.compute.shard_tools.torchvision_input import TorchvisionSet

        return TorchvisionSet(args.torchvision, args.root.absolute(), args.split, small)
    if args.source.endswith((".csv", ".tsv", ".parquet")):
        from hpc_xfer.compute.shard_tools.table_input import Columns, Table

        columns = Columns(args.image_column, args.caption_column, args.label_column)
        return Table(Path(args.source), columns, small)
    from hpc_xfer.compute.shard_tools.inputs import ImageFolder

    return ImageFolder(Path(args.source), small)


def _say(args: argparse.Namespace, line: str) -> None:
    if not args.json:
        print(line)


def _contents(packed: "PackResult") -> str:
    broken = f", {packed.broken:,} broken ones left out" if packed.broken else ""
    return f"{_count(packed.index)}{broken}{'' if packed.fresh else ', made before'}"


def _count(found: ShardIndex) -> str:
    classes = "" if found.classes is None else f", {len(found.classes):,} classes"
    return f"{found.samples:,} samples in {len(found.entries):,} shards{classes}"


def _facts(found: ShardIndex) -> dict[str, object]:
    return {
        "folder": str(found.folder),
        "samples": found.samples,
        "shards": len(found.entries),
        "classes": None if found.classes is None else len(found.classes),
        "fields": list(found.fields),
        "json_keys": list(found.json_keys),
        "fingerprint": found.fingerprint,
    }
