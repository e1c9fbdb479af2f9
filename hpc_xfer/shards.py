"""Make, index and check tar shards, the data that pre-training reads.

python -m hpc_xfer.shards characters sources/
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hpc_xfer.cli import exit_with, parser
from hpc_xfer.config.shard_files import shard_patterns
from hpc_xfer.errors import StudyError
from hpc_xfer.system.limits import cycle_collector
from hpc_xfer.system.machine import cores

SOURCES = ("sans", "serif", "mono", "symbols")
_TORCHVISION = "torchvision:"
_INDEX = (  # description, usage, examples
    "Count and fingerprint the shards of PLACE and write index.json beside them. PLACE is a\n"
    "folder (its *.tar, or else its */*.tar), or a pattern in quotes, so that the shell\n"
    "does not expand it: {00000..00099} and {a,b} as WebDataset has them, *, ? and **. The\n"
    "index of a pattern lies in the folder before its first brace or star, which the site\n"
    "file names.",
    "PLACE [options]",
    "sources/laion\n"
    "  python -m hpc_xfer.shards index 'sources/laion/{00000..00099}.tar'\n"
    "  python -m hpc_xfer.shards index 'sources/laion/*/*.tar'",
)
_SMALLEST = 8  # pixels; smaller characters are dots


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    _refuse_absent(args)
    with cycle_collector.paused():
        from hpc_xfer.compute.shard_tools import actions  # imports torch; --help needs none

    match args.command:
        case "characters":
            return actions.characters(args)
        case "make":
            return actions.make(args)
        case "index":
            return actions.index(args)
        case _:
            return actions.check(args)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; wrong arguments exit with 2.

    For `make`, `torchvision` is the name of a torchvision data set, None for any other source.
    """
    top = _parser()
    args = top.parse_args(argv)
    if args.command == "index":
        args.place, *more = args.places
        if more:
            top.error(
                f"one folder or pattern is indexed at a time, and {args.place} is followed by "
                f"{more[0]}; put a pattern in quotes, so that the shell does not expand it"
            )
    if args.command == "make":
        is_torchvision = args.source.startswith(_TORCHVISION)
        args.torchvision = args.source.removeprefix(_TORCHVISION) if is_torchvision else None
        if is_torchvision and args.root is None:
            top.error(f"{args.source} needs --root DIR, the folder it was downloaded to")
    return args


def _refuse_absent(args: argparse.Namespace) -> None:
    """Raises:
    StudyError: the call names a folder or a source that is not there.
    """
    if args.command == "check":
        _refuse_other_than_folder(args.folder)
    elif args.command == "index":
        folder, _ = shard_patterns.folder_and_pattern(args.place)
        _refuse_other_than_folder(folder)
    elif args.command == "make" and args.torchvision is not None:
        if not args.root.is_dir():
            raise StudyError(f"{args.root}: no such folder; correct --root")
    elif args.command == "make" and not (
        Path(args.source).exists() or shard_patterns.looks_like_one(args.source)
    ):
        raise StudyError(f"{args.source}: no such file or folder; correct SOURCE")


def _refuse_other_than_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "no such folder"
        raise StudyError(f"{folder}: {what}; name the folder of the shards")


def _parser() -> argparse.ArgumentParser:
    top = parser(
        "shards",
        "Make, index and check tar shards, the data that pre-training reads.",
        "python -m hpc_xfer.shards characters sources/",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", prog=top.prog)

    def command(name: str, description: str, usage: str, example: str) -> argparse.ArgumentParser:
        written = f"{top.prog} {name} {example.replace('python -m hpc_xfer.shards', top.prog)}"
        sub = commands.add_parser(
            name,
            help=description,
            description=description,
            usage=f"%(prog)s {usage}\n\nexample:\n  {written}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument(
            "--workers", type=partial(_between, 1), default=cores(), help="processes (all cores)"
        )
        return sub

    _add_characters(
        command(
            "characters",
            "Render characters into OUT/<source>/: data for pre-training without a download.",
            "OUT [options]",
            "sources/ --source sans serif --samples 16000",
        )
    )
    _add_make(
        command(
            "make",
            "Pack images into shuffled shards. SOURCE is a folder SOURCE/CLASS/*, a table (.csv\n"
            ".tsv .parquet; paths are relative to it), a folder or a quoted pattern of Parquet\n"
            "files, such as 'data/train-*.parquet', or torchvision:NAME, such as CIFAR10.\n"
            "A call that was killed continues when it is called again.",
            "SOURCE OUT [options]",
            "photos/train sources/photos",
        )
    )
    _add_index(
        command(
            "index",
            *_INDEX,
        )
    )
    checking = command(
        "check",
        "Open every shard of FOLDER, decode every image, and list what is broken, and where.",
        "FOLDER [options]",
        "sources/laion",
    )
    checking.add_argument("folder", metavar="FOLDER", type=Path)
    return top


def _add_characters(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("out", metavar="OUT", type=Path)
    sub.add_argument("--source", nargs="+", choices=SOURCES, default=SOURCES, help="default: all")
    sub.add_argument("--samples", type=partial(_between, 1), default=8000, help="per source (8000)")
    sub.add_argument("--classes", type=partial(_between, 1), default=400, help="characters (400)")
    sub.add_argument(
        "--size", type=partial(_between, _SMALLEST), default=32, help="pixels of each side (32)"
    )
    sub.add_argument("--seed", type=partial(_between, 0), default=0, help="changes the images (0)")


def _add_make(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("source", metavar="SOURCE")
    sub.add_argument("out", metavar="OUT", type=Path)
    size = sub.add_mutually_exclusive_group()
    size.add_argument(
        "--per-shard", type=partial(_between, 1), default=1000, help="images per shard (1000)"
    )
    size.add_argument(
        "--shard-mb", type=_above_zero, metavar="MB", help="approximate size of a shard, instead"
    )
    sub.add_argument("--seed", type=partial(_between, 0), default=0, help="seed of the shuffle (0)")
    sub.add_argument(
        "--short-side",
        type=partial(_between, _SMALLEST),
        metavar="PIXELS",
        help="re-encode images with a longer short side; smaller images stay unchanged",
    )
    sub.add_argument(
        "--quality",
        type=partial(_between, 1, most=100),
        help="quality of re-encoded JPEGs (90); alone, re-encodes at full size",
    )
    sub.add_argument(
        "--max-broken",
        type=_share,
        default=0.001,
        metavar="SHARE",
        help="share of samples that may be broken (0.001)",
    )
    tables = sub.add_argument_group("options for a table")
    tables.add_argument("--image-column", metavar="NAME", help="paths of images (image)")
    tables.add_argument("--caption-column", metavar="NAME", help="captions")
    tables.add_argument("--label-column", metavar="NAME", help="class numbers, or class names")
    tables.add_argument(
        "--labels", choices=("numbers", "names"), help="meaning of labels (as the values show)"
    )
    tables.add_argument(
        "--separator", type=_separator, metavar="CHAR", help="of fields (tab in a .tsv, else ',')"
    )
    tables.add_argument(
        "--quoting",
        choices=("csv", "none"),
        help="marks enclose fields, or are part of the text (csv; with tabs, as the table shows)",
    )
    sets = sub.add_argument_group("options for a torchvision data set")
    sets.add_argument("--root", type=Path, metavar="DIR", help="folder it was downloaded to")
    sets.add_argument("--split", metavar="NAME", help="train, test, ... (train)")


def _add_index(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("places", metavar="PLACE", nargs="+", type=Path)
    sub.add_argument(
        "--label-key",
        metavar="KEY",
        help="key of the labels in the json (default: labels are in cls)",
    )
    sub.add_argument(
        "--columns",
        type=_names,
        metavar="A,B",
        help="store these keys of the json for `select`; `key` and `class` are those of samples",
    )
    sub.add_argument(
        "--table", metavar="FILE", help="take columns from a .csv, .tsv or .parquet instead"
    )
    sub.add_argument(
        "--table-key", default="key", metavar="NAME", help="column that names the sample (key)"
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if all(names):
        return names
    raise argparse.ArgumentTypeError(f"{text!r} is not a list of names, such as clip_score,phash")


def _between(least: int, text: str, most: int | None = None) -> int:
    try:
        value = int(text.replace(",", "").replace("_", ""))
        if value >= least and (most is None or value <= most):
            return value
    except ValueError:
        pass
    limits = f"{least} or more" if most is None else f"{least} to {most}"
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {limits}")


def _separator(text: str) -> str:
    separator = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(separator) == 1 and separator not in '"\r\n':
        return separator
    raise argparse.ArgumentTypeError(f"{text!r} is not one character, or tab")


def _share(text: str) -> float:
    try:
        if 0 <= (value := float(text)) <= 1:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")


def _above_zero(text: str) -> float:
    try:
        if 0 < (value := float(text)) < float("inf"):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


if __name__ == "__main__":
    exit_with(main)
