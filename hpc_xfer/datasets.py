"""List, fetch and check downstream data sets.

python -m hpc_xfer.datasets fetch pets dtd --to /data/transfer
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpc_xfer.cli import exit_with, parser
from hpc_xfer.config.dataset_cards import CARDS, card
from hpc_xfer.config.site import Site, find_site_file, load_site
from hpc_xfer.errors import StudyError, XferError
from hpc_xfer.system import terminal
from hpc_xfer.system.machine import cores
from hpc_xfer.system.written_path import absolute

if TYPE_CHECKING:  # imported where they are used, so that --help starts at once
    from rich.table import Table

    from hpc_xfer.compute.downstream.check_dataset import DatasetReport
    from hpc_xfer.dataset_tools.fetch import Fetched, HowToFetch
    from hpc_xfer.dataset_tools.presence import DatasetRow

_MOST_CLASSES = 50  # that `check` shows one by one; --json has all


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        match args.command:
            case "list":
                return _list(args)
            case "fetch":
                return _fetch(args)
            case _:
                return _check(args)
    except KeyboardInterrupt:
        terminal.say("interrupted; call again to go on from here", stderr=True)
        return 130


def _parser() -> argparse.ArgumentParser:
    top = parser(
        "datasets",
        "List, fetch and check the data sets that encoders are fine-tuned on.",
        "python -m hpc_xfer.datasets fetch pets dtd --to /data/transfer",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", prog=top.prog)

    def command(name: str, description: str, usage: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=description.split(". ")[0].rstrip("."),
            description=description,
            usage=f"%(prog)s {usage}\n\nexample:\n  {top.prog} {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--site", type=Path, metavar="FILE", help="settings of this cluster")
        return sub

    command(
        "list",
        "Show every data set: classes, images, licence, and whether it is there.",
        "[options]",
        "--site site.yaml",
    )
    _add_fetch(
        command(
            "fetch",
            "Download data sets, check and unpack them. A call that was killed continues when it\n"
            "is called again. Archives that lie in DIR/archives/ are used, not downloaded.",
            "NAME ... --to DIR [options]",
            "pets dtd --to /data/transfer",
        )
    )
    _add_check(
        command(
            "check",
            "Read every image: what cannot be decoded, is there twice, or is in two splits.",
            "NAME ... [options]",
            "pets --site site.yaml",
        )
    )
    return top


def _add_fetch(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("names", nargs="+", metavar="NAME", choices=CARDS, help=", ".join(CARDS))
    sub.add_argument("--to", type=Path, required=True, metavar="DIR", help="may hold several sets")
    sub.add_argument("--mirror", metavar="URL", help="look archives up as URL/<file name>")
    sub.add_argument(
        "--keep-archives", action="store_true", help="leave them in DIR/archives/ once unpacked"
    )


def _add_check(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("names", nargs="+", metavar="NAME", help="as in the site file, or built in")
    sub.add_argument(
        "--accept",
        type=Path,
        metavar="STORE",
        help="let this store use the data set though it has changed since the store first saw it",
    )
    sub.add_argument("--workers", type=_one_or_more, default=cores(), help="threads (all cores)")


def _one_or_more(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")


def _list(args: argparse.Namespace) -> int:
    from hpc_xfer.dataset_tools.presence import rows

    found = rows(load_site(args.site))
    if args.json:
        terminal.say_json([asdict(row) for row in found])
    else:
        _print_rows(found)
    return 1 if any(row.presence.problem for row in found) else 0


def _print_rows(rows: Sequence["DatasetRow"]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "title", "classes", "images", "licence", "archives", "there"):
        justify: Literal["left", "right"] = "right" if column == "classes" else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(
            row.name,
            row.title,
            "" if row.classes is None else f"{row.classes:,}",
            _images(row),
            row.licence or "",
            _archives(row),
            _where(row),
        )
    console = terminal.console()
    console.print(table)
    for row in rows:
        if row.presence.problem:
            console.print(f"{row.name}: {row.presence.problem}", soft_wrap=True)
        elif row.place is not None:
            lacking = ", ".join(row.presence.lacking)
            without = f" (without the further test set {lacking})" if lacking else ""
            console.print(f"{row.name}: {row.place}{without}", soft_wrap=True)
        if row.place is not None and row.licence is None:  # those of the nine are known
            for note in row.presence.notes:
                console.print(f"{row.name}: {note}", soft_wrap=True)


def _images(row: "DatasetRow") -> str:
    counts = row.images or row.listed
    named = [f"{split} {count:,}" for split, count in counts.items()]
    named += [f"{name} {count:,}" if count else name for name, count in row.further.items()]
    left_out = "" if row.images or not row.listed else " (some are left out)"
    return ", ".join(named) + left_out or "known when read"


def _archives(row: "DatasetRow") -> str:
    if row.archive_bytes is not None:
        return terminal.size(row.archive_bytes)
    return "" if row.licence is None else "not stated"


def _where(row: "DatasetRow") -> str:
    if row.presence.problem:
        return "no, see below"
    if row.place is None:
        return "built in" if row.presence.is_there else "not in the site file"
    return "yes"


def _fetch(args: argparse.Namespace) -> int:
    from hpc_xfer.dataset_tools.fetch import HowToFetch

    if args.mirror is not None and not args.mirror.startswith(("http://", "https://")):
        raise StudyError(f"--mirror {args.mirror}: must begin with http:// or https://; correct it")
    how = HowToFetch(args.mirror, args.keep_archives)
    return fetch_all(args, how)


def fetch_all(args: argparse.Namespace, how: "HowToFetch") -> int:
    """Fetch one data set after the other; the failure of one does not stop the others."""
    from hpc_xfer.dataset_tools.fetch import fetch

    done: list[Fetched] = []
    failures: dict[str, str] = {}
    there: list[str] = []
    for name in dict.fromkeys(args.names):
        try:
            fetched = fetch(card(name), absolute(args.to), how)
        except XferError as error:
            terminal.say(*error.sentences, stderr=True)
            failures[name] = str(error)
            continue
        done.append(fetched)
        there.append(name)
        if not args.json:
            _print_fetched(name, fetched)
    if args.json:
        terminal.say_json(_fetch_facts(there, done, failures))
    elif there:
        _print_site_lines(there, done[0].root, args.site)
    return 1 if failures else 0


def _fetch_facts(
    there: Sequence[str], done: Sequence["Fetched"], failures: dict[str, str]
) -> dict[str, Any]:
    fetched = {
        name: {
            "path": str(each.root),
            "archives": each.archives,
            "lacking": each.presence.lacking,
            "notes": each.presence.notes,
        }
        for name, each in zip(there, done, strict=True)
    }
    return {"fetched": fetched, "failures": failures}


def _print_fetched(name: str, fetched: "Fetched") -> None:
    did = f"unpacked {', '.join(fetched.archives)}" if fetched.archives else "was there already"
    terminal.say(f"{name}: {did} ({fetched.root})")
    for note in fetched.presence.notes:
        terminal.say(f"{name}: {note}")


def _print_site_lines(names: Sequence[str], root: Path, site: Path | None) -> None:
    """Print what the site file needs, unless it says so already."""
    path = find_site_file(site)
    known = load_site(site) if path is not None and path.exists() else Site()
    new = [name for name in names if (place := known.dataset(name)) is None or place.path != root]
    if new:
        terminal.say(f"write into the site file{f' ({path})' if path else ''}:", "", "datasets:")
        for name in new:
            terminal.say(f"  {name}: {json.dumps(str(root), ensure_ascii=False)}")


def _check(args: argparse.Namespace) -> int:
    site = load_site(args.site)
    reports: dict[str, DatasetReport] = {}
    failures: dict[str, str] = {}
    for name in dict.fromkeys(args.names):
        try:
            reports[name] = _check_one(name, site, args)
        except StudyError:
            raise
        except XferError as error:
            terminal.say(*error.sentences, stderr=True)
            failures[name] = str(error)
            continue
        if not args.json:
            _print_report(name, reports[name])
    if args.json:
        facts = {name: asdict(report) for name, report in reports.items()}
        terminal.say_json({"checked": facts, "failures": failures})
    return 1 if failures or any(report.problems for report in reports.values()) else 0


def _check_one(name: str, site: Site, args: argparse.Namespace) -> "DatasetReport":
    from hpc_xfer.compute.downstream.check_dataset import (  # imports torch
        check_dataset,
        read_dataset,
    )

    with terminal.shown(f"{name}: files read") as progress:
        data = read_dataset(name, site.dataset(name), progress)
    with terminal.shown(f"{name}: images decoded") as progress:
        report = check_dataset(data, args.workers, progress)
    if args.accept is not None:
        _accept(args, name, report)
    return report


def _accept(args: argparse.Namespace, name: str, report: "DatasetReport") -> None:
    """Let a store use the data set as it is now; its images only where nothing is wrong."""
    from hpc_xfer.store.dataset_fingerprints import accept, accept_words
    from hpc_xfer.store.store import Store

    if not args.accept.is_dir():
        raise StudyError(f"{args.accept}: no such store; correct --accept")
    store = Store(args.accept, load_site(args.site).trust_store_members)
    store.check()
    say = partial(terminal.say, stderr=args.json)
    if accept_words(store, name, report.words) is not None:
        say(f"{name}: runs from now on use its present class names and prompts")
    if report.problems:
        say(f"{name}: a change of images is not accepted; mend what is told first")
        return
    before = accept(store, name, report.fingerprint)
    if before is not None:
        now = report.fingerprint[:12]
        say(f"{name}: runs from now on use {now}, not {before[:12]}")


def _print_report(name: str, report: "DatasetReport") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("split", "images", "classes", "per class", "undecodable", "duplicates"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split in report.splits:
        low, high = min(split.class_counts), max(split.class_counts)
        table.add_row(
            split.name,
            f"{sum(split.class_counts):,}",
            f"{sum(map(bool, split.class_counts)):,}",
            f"{low:,}" if low == high else f"{low:,} to {high:,}",
            f"{len(split.undecodable):,}",
            f"{split.duplicates:,}",
        )
    console = terminal.console()
    console.print(f"{name}: {report.title}", soft_wrap=True)
    console.print(table)
    if len(report.classes) <= _MOST_CLASSES:
        console.print(_class_table(report))
    for line in (*report.problems, *report.examples, *report.notes):
        console.print(line, soft_wrap=True)
    console.print(f"fingerprint: {report.fingerprint}", soft_wrap=True)


def _class_table(report: "DatasetReport") -> "Table":
    """Images of each class by split."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for split in report.splits:
        table.add_column(split.name, justify="right")
    for label, name in enumerate(report.classes):
        table.add_row(name, *(f"{split.class_counts[label]:,}" for split in report.splits))
    return table


if __name__ == "__main__":
    exit_with(main)
