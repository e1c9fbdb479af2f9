"""How a study stands: what is done, what runs and how fast, what waits for what, what failed.

python -m hpc_xfer.status grids/size_scaling.yaml --watch

It asks Slurm once per refresh, with one squeue for everything, and is right without accounting.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.errors import StudyError
from hpc_xfer.monitoring import eta, explain, status_tables
from hpc_xfer.monitoring.snapshot import StudySnapshot, take_snapshot
from hpc_xfer.scheduling.run_states import RunStatus
from hpc_xfer.store.rehearsal_store import load_last_rehearsal
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run, make_plan
from hpc_xfer.study.study_file import load_study
from hpc_xfer.system import terminal


def as_json(snapshot: StudySnapshot) -> dict[str, Any]:
    """For scripts: every run by its id."""
    left = eta.forecast(snapshot.plan, snapshot.now)
    return {
        "schema": 1,
        "study": snapshot.name,
        "counts": snapshot.counts,
        "seconds_left": None if left.study is None else round(left.study),
        "slurm": snapshot.silence or "answers",
        "relay": snapshot.relay.job if snapshot.relay else None,
        "runs": {run_id: _one(each) for run_id, each in snapshot.now.items()},
    }


def _one(each: RunStatus) -> dict[str, Any]:
    told: dict[str, Any] = {"state": each.state, "why": each.why, "message": each.message}
    told["job"] = each.element.job if each.element else None
    told["node"] = each.line.nodes if each.line else None
    told["progress"] = dict(each.progress) if each.progress else None
    return {key: value for key, value in told.items() if value}


# The command


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    asked = load_study(args.grid)
    store = cli.store_of(args.store, load_site(args.site))
    if args.rehearsal:
        asked, store = load_last_rehearsal(asked, store)
    whole = make_plan(asked)
    if args.watch:
        return _watch(whole, store, asked.name, args.every)
    snapshot = take_snapshot(whole, store, asked.name)
    if args.why:
        return _print(explain.why(snapshot, _run(whole, args.why)))
    if args.job:
        return _print(explain.of_job(snapshot, args.job))
    if args.json:
        print(json.dumps(as_json(snapshot), indent=2))
    else:
        terminal.console().print(status_tables.render(snapshot))
    return 1 if snapshot.counts["failed"] else 0


def _print(lines: Sequence[str]) -> int:
    print("\n".join(lines))
    return 0


def _run(whole: Plan, start: str) -> Run:
    found = [run for run in whole.runs if run.id.startswith(start)]
    if len(found) != 1:
        count = "no run" if not found else f"{len(found)} runs"
        raise StudyError(f"--why {start}: {count} of this study begin so; see runs.csv for the ids")
    return found[0]


def _watch(whole: Plan, store: Store, name: str, every: float) -> int:
    """Refreshed until nothing is left to wait for, or Ctrl-C."""
    from rich.live import Live

    with Live(console=terminal.console(), auto_refresh=False) as live:
        while True:
            snapshot = take_snapshot(whole, store, name)
            live.update(status_tables.render(snapshot), refresh=True)
            if not any(each.live for each in snapshot.now.values()) and snapshot.relay is None:
                return 1 if snapshot.counts["failed"] else 0
            time.sleep(every)  # politely: each look is a question to Slurm


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "status",
        "Show how a study stands: done, running (with speed), pending (with Slurm's reason), "
        "blocked, failed (by class), lost, missing.",
        "python -m hpc_xfer.status grids/size_scaling.yaml --watch",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="until all is over, or Ctrl-C")
    parser.add_argument(
        "--every", type=float, default=10, metavar="SECONDS", help="with --watch (default: 10)"
    )
    parser.add_argument(
        "--why", metavar="RUN", help="all about one run; the start of its id is enough"
    )
    parser.add_argument(
        "--job", metavar="ID", help="the runs of a job of squeue, as 1234 or 1234_5"
    )
    parser.add_argument("--rehearsal", action="store_true", help="of the last rehearsal")
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    if args.every < 1:
        parser.error(f"--every must be 1 or more, got {args.every:g}")
    return args


if __name__ == "__main__":
    cli.exit_with(main)
