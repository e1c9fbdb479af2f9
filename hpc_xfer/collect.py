"""Collect the records of a study into CSVs; the same records give the same bytes.

python -m hpc_xfer.collect grids/size_scaling.yaml    # or several grids

runs.csv       every finished run: recipe, metrics, seconds, host
cells.csv      every complete cell: the trial that validation chose, and its test accuracy; a trial
               that diverged counts as the worst, and `trials` + `diverged` = `trials_planned`
averages.csv   mean and 95% interval per label, data set (or their mean), shots and mode
gaps.csv       differences between the levels of each axis, with simultaneous intervals
scaling.csv    slopes per decade of samples, crossings, labels saved
ranks.csv      average ranks over data sets
variance.csv   where the luck in an accuracy comes from, and what one more draw or seed would bring
selection.csv  what a choice on the test set would have reported
missing.csv    every planned run without a result, and why; every cell that waits for trials, or
               whose trials all diverged
set_aside.csv  files in the folders of runs that are not used, and why: broken or foreign records,
               copies; absent where there are none

What was made of records is kept in the store, in cache/ of the study, so that the next call reads
what is new. To delete it changes no table.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.results.collect_tables import COUNTS, Collected, collect
from hpc_xfer.store.launched_study import load_in_store
from hpc_xfer.store.rehearsal_store import load_last_rehearsal
from hpc_xfer.study.plan import make_plan
from hpc_xfer.system import terminal
from hpc_xfer.system.limits import cycle_collector


@cycle_collector.paused()
def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser(
        "collect",
        "Write the records of a study to CSVs.",
        "python -m hpc_xfer.collect grids/size_scaling.yaml",
    )
    cli.add_grid_arguments(parser, several=True)
    parser.add_argument("--rehearsal", action="store_true", help="collect its last rehearsal")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: summary/ of the study")
    parser.add_argument("--json", action="store_true", help="print counts and paths as JSON")
    args = parser.parse_args(argv)
    if args.out and len(args.grids) > 1:
        parser.error(f"--out takes one GRID, got {len(args.grids)}; call collect once for each")
    return cli.for_each_grid(args, _collect)


def _collect(args: argparse.Namespace) -> cli.Answer:
    """Collect one study."""
    store = cli.store_of(args.store, load_site(args.site))
    study = load_in_store(args.grid, store, args.set)
    if args.rehearsal:
        study, store = load_last_rehearsal(study, store)
    if not store.root.is_dir():  # a misspelt --store, perhaps
        words = "there is no store, so no run is done; another --store may be the one that you mean"
        terminal.say(f"{store.root}: {words}", stderr=True)
    out = args.out or store.study(study.name).summary
    collected = collect(make_plan(study), store, out, store.study(study.name))
    if not args.json:
        _print(study.name, collected)
    return 1 if collected.failed else 0, {"study": study.name, **collected.summary}


def _print(name: str, collected: Collected) -> None:
    from rich.table import Table

    table = Table(title=name, title_justify="left", box=None, show_header=False)
    for what in COUNTS:
        word = "done" if what == "finished" else what.replace("_", " ")  # as `status` says
        table.add_row(f"runs {word}", f"{getattr(collected, what):,}")
    table.add_row("cells complete", f"{collected.cells_complete:,} of {collected.cells:,}")
    if collected.imported:
        table.add_row("cells imported", f"{collected.imported:,}")
    if collected.set_aside:
        table.add_row("files set aside", f"{collected.set_aside:,}, listed in set_aside.csv")
    console = terminal.console()
    console.print(table)
    for path in collected.files.values():
        console.print(str(path), soft_wrap=True)


if __name__ == "__main__":
    cli.exit_with(main)
