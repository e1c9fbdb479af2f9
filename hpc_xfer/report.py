"""Draw the figures of a study and write one self-contained page, from its CSVs alone.

python -m hpc_xfer.report grids/size_scaling.yaml    # or several grids

It reads no runs, so it works on a study folder that was copied out of its store too. Tables of an
older version are collected again first, where the runs are in the store.

    python -m hpc_xfer.report grids/size_scaling.yaml --public

writes public/ of the study, without hosts, users, paths and jobs.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.errors import StoreError
from hpc_xfer.reporting.public.public_report import write_public_report
from hpc_xfer.reporting.report_study import report_study
from hpc_xfer.results.collect_tables import collect
from hpc_xfer.results.freshness import of_older_version
from hpc_xfer.store.launched_study import load_in_store
from hpc_xfer.store.rehearsal_store import load_last_rehearsal
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import terminal


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser(
        "report",
        "Draw the figures of a collected study and write its report.html.",
        "python -m hpc_xfer.report grids/size_scaling.yaml",
    )
    cli.add_grid_arguments(parser, several=True)
    parser.add_argument("--rehearsal", action="store_true", help="report on its last rehearsal")
    parser.add_argument(
        "--public", action="store_true",
        help="write page, figures and tables for others to public/ of the study: no host, user, "
        "path or job; nothing is written where one is found in them",
    )  # fmt: skip
    parser.add_argument(
        "--allow", metavar="WORD", action="append", default=[],
        help="with --public: this word may be there, though a host or user is called so",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the paths as JSON")
    args = parser.parse_args(argv)
    if args.allow and not args.public:
        parser.error("--allow goes with --public alone")
    return cli.for_each_grid(args, _report)


def _report(args: argparse.Namespace) -> cli.Answer:
    """Write the page of one study."""
    store = cli.store_of(args.store, load_site(args.site))
    study = load_in_store(args.grid, store, args.set)
    if args.rehearsal:
        study, store = load_last_rehearsal(study, store)
    folder = store.study(study.name)
    if of_older_version(folder.summary):
        _collect_again(study, store, folder.summary)
    if args.public:
        written, folder = write_public_report(study, store, folder, args.allow), folder.public
    else:
        written = report_study(study, folder)
    if not args.json:
        terminal.say(str(written))
        if args.public:
            terminal.say(
                f"{folder.path} can be published: it names no host, user or folder that is known "
                "here; read what you wrote yourself, such as the question"
            )
    paths = {"figures": str(folder.figures), "report": str(written)}
    return 0, {**paths, "schema": 1, "study": study.name}


def _collect_again(study: Study, store: Store, summary: Path) -> None:
    plan = make_plan(study)
    if not any(os.path.exists(store.run(run.id).record) for run in plan.runs):
        raise StoreError(
            f"{summary}: an older version wrote these tables and their runs are not in this store; "
            "run `python -m hpc_xfer.collect` where the runs are, then copy the tables"
        )
    terminal.say("report: the tables are of an older version; collecting again", stderr=True)
    collect(plan, store, summary, store.study(study.name))


if __name__ == "__main__":
    cli.exit_with(main)
