"""Show the state of a study: done, running and how fast, pending and for what, failed and why.

python -m hpc_xfer.status grids/size_scaling.yaml --watch

One squeue per refresh serves all runs; Slurm's accounting is not needed.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hpc_xfer import cli
from hpc_xfer.config.site import Slurm, load_site
from hpc_xfer.monitoring import screen, status_tables
from hpc_xfer.monitoring.explain import explain_job, explain_run
from hpc_xfer.monitoring.status_json import as_json
from hpc_xfer.monitoring.study_arguments import StudyArguments
from hpc_xfer.monitoring.study_state import StudyState, read_study_state, study_states
from hpc_xfer.store.launched_study import (
    launched_parts,
    load_in_store,
    plan_in_store,
    used_stand_ins,
)
from hpc_xfer.store.rehearsal_store import load_last_rehearsal
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.selected.only import part_of, selected
from hpc_xfer.system import set_aside, terminal
from hpc_xfer.system.limits import cycle_collector

if TYPE_CHECKING:
    from rich.console import RenderableType


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    if not (args.watch or args.follow):
        return cli.for_each_grid(args, _show)
    (one,) = cli.each_grid(args)
    try:
        return _follow(one) if args.follow else _keep_watching(one)
    except KeyboardInterrupt:  # the way to end both
        return 130


Look = Callable[[], StudyState]
_LONGEST = 86_400  # seconds between refreshes


def _look_at(args: argparse.Namespace) -> Look:
    """Return a function that takes one look at the study of a grid."""
    site = load_site(args.site)
    store = cli.store_of(args.store, site)
    study = load_in_store(args.grid, store, args.set)
    if args.rehearsal:
        study, store = load_last_rehearsal(study, store)
    plan, args.set = plan_in_store(study, store), study.changes
    stand_ins = args.rehearsal and used_stand_ins(store, study.name)
    arguments = StudyArguments(cli.again(args), args.rehearsal, stand_ins)
    part = part_of(plan, selected(plan, args.only)) if args.only else plan
    return partial(_state_of, part, plan, store, study.name, site.slurm, arguments)


def _state_of(
    part: Plan, plan: Plan, store: Store, name: str, slurm: Slurm, arguments: StudyArguments
) -> StudyState:
    """Read the state of a part of the study; what is told of its jobs is of all of it."""
    state = read_study_state(plan, store, name, slurm, arguments)
    if part is plan:
        return state
    return replace(state, plan=part, status={run.id: state.status[run.id] for run in part.runs})


@cycle_collector.paused()
def _show(args: argparse.Namespace) -> cli.Answer:
    """Show the state of one study once."""
    state = _look_at(args)()
    content = as_json(state) if args.json else {}
    if not args.json:
        _print(state, args)
    code, verdict = _judged(state, args)
    return max(code, _code(state, args)), {**content, **verdict}


def _judged(state: StudyState, args: argparse.Namespace) -> cli.Answer:
    """Judge a rehearsal that has ended; nothing where it is at work, or one thing is explained."""
    if not args.rehearsal or args.only or state.is_live or _explanation(state, args):
        return 0, {}
    from hpc_xfer.rehearsing.verdict import judged

    console = None if args.json else terminal.console()
    parts = launched_parts(state.store, state.name)
    return judged(state.plan, state.store, state.name, console, state.lost, parts)


def _code(state: StudyState, args: argparse.Namespace) -> int:
    is_explained = (args.why, args.job) != (None, None)
    return 1 if state.counts["failed"] and not is_explained else 0


def _keep_watching(args: argparse.Namespace) -> int:
    """Show the state again and again, until the study ends."""
    states = study_states(_look_at(args), args.every)
    if not args.json and terminal.is_live(terminal.console()):
        state = _watch(states, args)
        return max(_code(state, args), _judged(state, args)[0])
    known: set[str] = set()
    for state in states:
        if args.json:  # the last line has the verdict of a rehearsal too
            code, verdict = _judged(state, args)
            cli.say_json({**as_json(state), **verdict}, indent=None)
        else:
            _print(state, args)
            terminal.say("", *set_aside.news(known))
    return max(_code(state, args), code if args.json else _judged(state, args)[0])


def _follow(args: argparse.Namespace) -> int:
    """Print the log of a run as it grows; return 1 where the run has failed."""
    from hpc_xfer.monitoring.log_follower import OPTION, follow
    from hpc_xfer.monitoring.run_ids import run_that_begins

    look = _look_at(args)
    for line in follow(look, args.follow, args.every):
        terminal.say(line)
    state = look()
    run = run_that_begins(state, args.follow, OPTION)
    return 1 if state.status[run.id].state == "failed" else 0


def _print(state: StudyState, args: argparse.Namespace) -> None:
    """Print one state for readers."""
    if lines := _explanation(state, args):
        terminal.say(*lines)
    else:
        status_tables.show(state, terminal.console())


def _watch(states: Iterator[StudyState], args: argparse.Namespace) -> StudyState:
    """Show each state in place of the one before, cut to the screen; return the last."""
    from rich.live import Live

    console = terminal.console()

    def shown(state: StudyState) -> "RenderableType":
        lines = _explanation(state, args)
        return screen.fitted_lines(lines, console) if lines else screen.fitted(state, console)

    known: set[str] = set()
    with Live(console=console, auto_refresh=False) as live:
        for state in states:
            for line in set_aside.news(known):
                console.print(line, soft_wrap=True)  # above the state
            live.update(shown(state), refresh=True)
    return state


def _explanation(state: StudyState, args: argparse.Namespace) -> list[str]:
    """Lines on the run of --why or the job of --job; none without these options."""
    if args.why is not None:
        return explain_run(state, args.why)
    return [] if args.job is None else explain_job(state, args.job)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "status",
        "Show the state of a study: done, running (with speed), starting, pending (with Slurm's "
        "reason), blocked, failed (by class), lost, missing.",
        "python -m hpc_xfer.status grids/size_scaling.yaml --watch",
    )
    cli.add_grid_arguments(parser, several=True)
    cli.add_only_argument(parser)
    parser.add_argument(
        "--watch", action="store_true", help="show it again and again, until the study ends"
    )
    parser.add_argument(
        "--follow", metavar="RUN",
        help="print the log of a run as it grows, until the run ends; RUN is the start of its id",
    )  # fmt: skip
    parser.add_argument(
        "--every", type=float, default=10, metavar="SECONDS", help="between refreshes (default: 10)"
    )
    parser.add_argument(
        "--why", metavar="RUN", help="explain one run, given by the start of its id"
    )
    parser.add_argument(
        "--job",
        metavar="ID",
        help="list the runs of a job, as squeue prints it: 1234, 1234_5 or '1234_[0-3]'",
    )
    parser.add_argument("--rehearsal", action="store_true", help="show the last rehearsal")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    args = parser.parse_args(argv)
    if not 1 <= args.every <= _LONGEST:  # nan is neither
        parser.error(f"--every must be from 1 to {_LONGEST:,} seconds, got {args.every:g}")
    if args.json and (args.why, args.job) != (None, None):
        parser.error("--json has all runs, so it goes with neither --why nor --job")
    for name in ("follow", "why", "job"):  # as of an unset variable of the shell
        if getattr(args, name) == "":
            parser.error(f"--{name} is empty; give the start of an id")
    alone = [name for name in ("watch", "follow", "why", "job") if getattr(args, name)]
    if alone and len(args.grids) > 1:
        parser.error(f"--{alone[0]} takes one GRID, got {len(args.grids)}")
    if args.only and (args.follow or args.why):
        parser.error("--only selects runs, so it goes with neither --follow nor --why, of one run")
    if args.follow and (args.json or len(alone) > 1):
        parser.error("--follow prints a log, so it goes with none of --watch, --why, --job, --json")
    return args


if __name__ == "__main__":
    cli.exit_with(main)
