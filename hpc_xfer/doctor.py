"""Is the cluster ready for this study? One job per kind of resource looks around; a verdict a line.

python -m hpc_xfer.doctor grids/size_scaling.yaml --site site.yaml

Nothing of the study runs. Each line says what was looked at, whether it is well, and what to do.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from hpc_xfer import cli
from hpc_xfer.config.site import find_site_file, load_site
from hpc_xfer.errors import SlurmError
from hpc_xfer.scheduling.cluster_check import examine, render
from hpc_xfer.slurm.sbatch import is_installed
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study import preflight
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from hpc_xfer.system import terminal


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    site_file = find_site_file(args.site)
    site = load_site(args.site)
    asked = load_study(args.grid)
    preflight.check(asked, site, "slurm")
    if not is_installed():
        raise SlurmError("sbatch is not on PATH: this is no login node of a Slurm cluster")
    store = cli.store_of(args.store, site)
    launched = LaunchedStudy(
        asked, make_plan(asked), store, site, site_file and site_file.resolve()
    )
    verdicts = []
    for verdict in examine(launched, args.wait):
        verdicts.append(verdict)
        if not args.json:
            print(f"{'ok ' if verdict.well else 'BAD'} {verdict.what}", file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps({"schema": 1, "verdicts": [v.as_json() for v in verdicts]}, indent=2))
    else:
        terminal.console().print(render(verdicts))
    return 0 if all(verdict.well for verdict in verdicts) else 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "doctor",
        "Submit one short job per kind of resource and tell whether the cluster is ready: limits, "
        "disk, acceptance by Slurm, environment, GPUs, data, all-reduce.",
        "python -m hpc_xfer.doctor grids/size_scaling.yaml --site site.yaml",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument(
        "--wait", type=float, default=15, metavar="MINUTES", help="for the jobs (default: 15)"
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.exit_with(main)
