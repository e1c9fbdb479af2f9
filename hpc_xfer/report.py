"""Draw the figures of a study and write one self-contained page, from its CSVs alone.

python -m hpc_xfer.report grids/size_scaling.yaml

It reads no runs, so it works on a study folder that was copied out of its store too.
"""

import json
from collections.abc import Sequence

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.reporting.report_study import report_study
from hpc_xfer.store.launched_study import load_in_store


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
    written = report_study(study, folder)
    if args.json:
        paths = {"report": str(written), "figures": str(folder.figures)}
        print(json.dumps({"schema": 1, "study": study.name, **paths}, indent=2, sort_keys=True))
    else:
        print(written)
    return 0


if __name__ == "__main__":
    cli.exit_with(main)
