"""Show the state of a study: done, running and how fast, pending and for what, failed and why.

python -m hpc_xfer.status grids/size_scaling.yaml --watch

One squeue per refresh serves all runs; Slurm's accounting is not needed.
"""

import argparse
import json
from collections.abc import Iterator, Sequence

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.monitoring import status_tables
from hpc_xfer.monitoring.explain import explain_job, explain_run
from hpc_xfer.monitoring.status_json import as_json
from hpc_xfer.monitoring.study_state import StudyState, read_study_state, study_states
from hpc_xfer.store.launched_study import load_in_store, plan_in_store
from hpc_xfer.store.rehearsal_store import load_last_rehearsal
from hpc_xfer.system import terminal


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    store = cli.store_of(args.store, load_site(args.site))
    study = load_in_store(args.grid, store)
    if args.rehearsal:
        study, store = load_last_rehearsal(study, store)
    plan = plan_in_store(study, store)
    if args.watch:
        state = _watch(study_states(plan, store, study.name, args.every))
        return 1 if state.counts["failed"] else 0
    state = read_study_state(plan, store, study.name)
    if args.why or args.job:
        lines = explain_run(state, args.why) if args.why else explain_job(state, args.job)
        print("\n".join(lines))
        return 0
    if args.json:
        print(json.dumps(as_json(state), indent=2))
    else:
        terminal.console().print(status_tables.render(state))
    return 1 if state.counts["failed"] else 0


def _watch(states: Iterator[StudyState]) -> StudyState:
    """Show each state in place of the one before; return the last."""
    from rich.live import Live

    with Live(console=terminal.console(), auto_refresh=False) as live:
        for state in states:
            live.update(status_tables.render(state), refresh=True)
    return state


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "status",
        "Show the state of a study: done, running (with speed), pending (with Slurm's reason), "
        "blocked, failed (by class), lost, missing.",
        "python -m hpc_xfer.status grids/size_scaling.yaml --watch",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="until the study ends, or Ctrl-C")
    parser.add_argument(
        "--every", type=float, default=10, metavar="SECONDS", help="between refreshes (default: 10)"
    )
    parser.add_argument(
        "--why", metavar="RUN", help="explain one run, given by the start of its id"
    )
    parser.add_argument(
        "--job", metavar="ID", help="list the runs of a job of squeue, as 1234 or 1234_5"
    )
    parser.add_argument("--rehearsal", action="store_true", help="show the last rehearsal")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    args = parser.parse_args(argv)
    if args.every < 1:
        parser.error(f"--every must be 1 or more, got {args.every:g}")
    return args


if __name__ == "__main__":
    cli.exit_with(main)
