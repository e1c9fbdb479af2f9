"""Draw the figures of a study and write one self-contained page, from its CSVs alone.

python -m hpc_xfer.report grids/size_scaling.yaml

It reads no runs, so it works on a study folder that was copied out of its store too. Tables of an
older version are collected again first, where the runs are in the store.
"""

from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.errors import StoreError
from hpc_xfer.reporting.report_study import report_study
from hpc_xfer.results.collect_tables import collect
from hpc_xfer.results.freshness import of_older_version
from hpc_xfer.store.launched_study import load_in_store
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
    cli.add_grid_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the paths as JSON")
    args = parser.parse_args(argv)
    store = cli.store_of(args.store, load_site(args.site))
    study = load_in_store(args.grid, store)
    folder = store.study(study.name)
    if of_older_version(folder.summary):
        _collect_again(study, store, folder.summary)
    written = report_study(study, folder)
    if args.json:
        paths = {"report": str(written), "figures": str(folder.figures)}
        cli.say_json({"schema": 1, "study": study.name, **paths}, sort_keys=True)
    else:
        terminal.say(str(written))
    return 0


def _collect_again(study: Study, store: Store, summary: Path) -> None:
    plan = make_plan(study)
    if not any(store.run(run.id).record.exists() for run in plan.runs):
        raise StoreError(
            f"{summary}: an older version wrote these tables and their runs are not in this store; "
            "run `python -m hpc_xfer.collect` where the runs are, then copy the tables"
        )
    terminal.say("report: the tables are of an older version; collecting again", stderr=True)
    collect(plan, store, summary, store.study(study.name))


if __name__ == "__main__":
    cli.exit_with(main)
