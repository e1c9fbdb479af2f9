"""Cancel the jobs of a study, and no others.

python -m hpc_xfer.cancel grids/size_scaling.yaml

Jobs of other studies stay, and so do jobs with runs that another study waits for.
"""

import json
from collections.abc import Sequence

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.scheduling.cancellation import CancelReport, cancel
from hpc_xfer.store.launched_study import load_in_store
from hpc_xfer.store.rehearsal_store import load_last_rehearsal


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser(
        "cancel",
        "Cancel the jobs of a study, except those with a run that another study of the store "
        "waits for. Launch the study again to go on from the checkpoints.",
        "python -m hpc_xfer.cancel grids/size_scaling.yaml",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument("--rehearsal", action="store_true", help="cancel its last rehearsal")
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    store = cli.store_of(args.store, load_site(args.site))
    study = load_in_store(args.grid, store)
    if args.rehearsal:
        study, store = load_last_rehearsal(study, store)
    # A study of imported results alone is never launched.
    report = cancel(store, study.name) if study.pretrains else CancelReport()
    if args.json:
        print(json.dumps({"study": study.name, **report.as_json()}, indent=2))
    else:
        print(f"cancelled {len(report.jobs):,} jobs and elements of arrays")
        if report.kept:
            print(
                f"left {len(report.kept):,} that another study waits for: "
                f"{' '.join(report.kept[:20])}"
            )
    return 0


if __name__ == "__main__":
    cli.exit_with(main)
