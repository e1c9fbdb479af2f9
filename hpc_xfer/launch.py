"""Launch a study: check it, show the plan, run or submit the missing runs, collect, report.

python -m hpc_xfer.launch grids/demo/demo.yaml --site grids/demo/demo.site.yaml
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hpc_xfer import cli
from hpc_xfer.config.site import find_site_file, load_site
from hpc_xfer.monitoring.study_arguments import StudyArguments
from hpc_xfer.slurm.nodes.node_cpus import with_cpus
from hpc_xfer.slurm.partition_time import with_time_limit
from hpc_xfer.slurm.sbatch import is_installed
from hpc_xfer.store.access.notes import notes_on_folders, told_once
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.finished_costs import finished_times, with_costs
from hpc_xfer.store.launched_study import LaunchedStudy, load_in_store, other_changes, prepare_store
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.store.rehearsal_store import NewRehearsals
from hpc_xfer.store.retry_policy import Retrier
from hpc_xfer.store.submission_ledger import read_ledger
from hpc_xfer.study import plan_summary, rehearsal
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.summary.resource_notes import resource_notes
from hpc_xfer.study.summary.union import Union, check_names
from hpc_xfer.system import provenance, terminal
from hpc_xfer.system.written_path import absolute

if TYPE_CHECKING:  # each way to launch imports its own, so that --help starts at once
    from rich.console import Console

    from hpc_xfer.execution.local_pool import PoolResult


@dataclass(frozen=True)
class CheckedLaunch:
    """A study that has passed all checks, and where it is to run; nothing is written yet."""

    args: argparse.Namespace
    launched: LaunchedStudy
    on: str
    notes: Sequence[str]
    look: FinishedRuns  # at the check

    @property
    def done(self) -> set[str]:
        """Ids of the finished runs at this moment; studies before this one may have added some."""
        return self.launched.store.done(self.launched.wanted)


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    with NewRehearsals() as rehearsals:
        checked = cli.check_each_grid(args, partial(_check, rehearsals=rehearsals))
        check_names([(each.args.grid, each.launched.study.name) for each in checked])
        return _main(args, checked)


def _main(args: argparse.Namespace, checked: Sequence[CheckedLaunch]) -> int:
    """Show or launch what was checked."""
    if not args.dry_run:
        terminal.outlive_readers()  # a launch does its work, also with `| head` behind it
    if args.dry_run and len(checked) > 1:
        return _show_union(checked, args)
    if len(checked) > 1 and not args.json:
        terminal.console(stderr=True).print(_union(checked).rendered())
    code, contents = 0, []
    for each in checked:
        if len(checked) > 1 and not args.json:
            terminal.say("", f"== {each.launched.study.name}", stderr=True)
        own, content = _launch(each, each.look.ids if each is checked[0] else each.done)
        code = max(code, own)
        contents.append(content)
        if content.get("interrupted"):
            break
    if args.json:
        cli.say_json(contents[0] if len(checked) == 1 else {"schema": 1, "studies": contents})
    elif len(checked) > 1:
        from hpc_xfer.monitoring.failure_summary import failed_studies

        terminal.say(*failed_studies([_arguments(each.args) for each in checked], contents))
    return code


def _check(args: argparse.Namespace, rehearsals: NewRehearsals) -> CheckedLaunch:
    """Read a grid, check what it needs, and make its plan."""
    from hpc_xfer.study.preflight.check_inputs import check_inputs  # --help needs none

    site_file = absolute(found) if (found := find_site_file(args.site)) else None
    site = load_site(args.site)
    store = cli.store_of(args.store, site)
    study = load_in_store(args.grid, store, args.set, is_launch=True)
    on = args.on or ("slurm" if is_installed() else "local")
    if not (args.dry_run or args.rehearse):
        store.check(study.name)
    if args.stand_ins:
        store = rehearsals.make(store)
        from hpc_xfer.rehearsing.on_stand_ins import on_stand_ins

        study, site_file = on_stand_ins(study, store, site, site_file, on)
        site = load_site(site_file)
    elif args.rehearse:
        study, store = rehearsal.rehearsal_of(study), rehearsals.make(store)
    plan, only = make_plan(study), tuple(args.only or ())
    launched = LaunchedStudy(study, plan, store, site, site_file, only)
    look = store.finished_runs()
    done = look.of(launched.wanted.runs)  # a wrong --only is refused here
    checked = check_inputs(study, site, on, launched.wanted.without(done))
    if on == "slurm":
        site = with_time_limit(with_cpus(site), study.resources.pretrain)
    plan = with_costs(plan, study, site, store, on, checked.infos)
    launched = replace(launched, plan=plan, site=site)
    if args.rehearse and not args.dry_run:
        terminal.say(f"rehearsing in {store.root}; remove it when you are done", stderr=True)
    notes = [*other_changes(study, store), *checked.notes, *_plan_notes(launched, done, on)]
    return CheckedLaunch(args, launched, on, notes, look)


def _launch(checked: CheckedLaunch, done: set[str]) -> cli.Answer:
    """Show, submit or run one study."""
    args, launched = checked.args, checked.launched
    if not args.dry_run:
        _open_store(launched)
    if args.by_hand:
        from hpc_xfer.scheduling.by_hand import by_hand

        _prepare(launched)
        lines = by_hand(launched.alone, done)
        if not args.json:
            terminal.say("\n".join(lines), lines=True)
        return 0, {"schema": 1, "study": launched.study.name, "lines": lines}
    if args.dry_run:
        return _show(checked, done)
    if not args.json:
        _print_plan(launched.alone, done, checked.notes, terminal.console(stderr=True))
    if checked.on == "slurm":
        return _submit(launched, args, checked.look)
    _prepare(launched)
    read_ledger(launched.store).record_event(
        launched.study.name, "launch", on=checked.on, **provenance.code()
    )
    return _run_here(launched, done, args, checked.look)


def _open_store(launched: LaunchedStudy) -> None:
    """Make the store; tell once what it means where its members are trusted."""
    launched.store.open(launched.study.name)
    for sentence in told_once(launched.store):
        terminal.say(sentence, stderr=True)


def _prepare(launched: LaunchedStudy) -> None:
    prepare_store(launched.study, launched.plan, launched.store, launched.only)
    site_variables.write(launched.store, launched.study.name, launched.site.variables)


def _show(checked: CheckedLaunch, done: set[str]) -> cli.Answer:
    """Print the plan and, for Slurm, the jobs that would be submitted."""
    from hpc_xfer.scheduling import job_preview
    from hpc_xfer.study.costs import cost_table

    launched = checked.launched.alone
    jobs = job_preview.jobs_to_come(launched, done) if checked.on == "slurm" else []
    cost = job_preview.cost_to_come(launched, checked.look, done) if jobs else None
    if checked.args.json:
        content = plan_summary.as_json(launched.study, launched.plan, done)
        content |= {"on": checked.on, "notes": list(checked.notes)}
        content |= {"estimated_cost": cost_table.as_json(cost)} if cost is not None else {}
        return 0, {**content, "jobs": [job.as_json() for job in jobs]}
    console = terminal.console()
    _print_plan(launched, done, checked.notes, console)
    if cost is not None:
        job_preview.show(jobs, cost, console)
    return 0, {}


def _show_union(checked: Sequence[CheckedLaunch], args: argparse.Namespace) -> int:
    """Print a line per study, the total of their union, and what they share."""
    if args.json:
        shown = [_show(each, each.done)[1] for each in checked]
        union = _union(checked).as_json()
        cli.say_json({"schema": 1, "studies": shown, "union": union})
        return 0
    console = terminal.console()
    console.print(_union(checked).rendered())
    for each in checked:
        for note in each.notes:
            console.print(f"{each.launched.study.name}: {note}", soft_wrap=True, highlight=False)
    terminal.say("`launch GRID --dry-run` with one of them shows its settings and its jobs")
    return 0


def _union(checked: Sequence[CheckedLaunch]) -> Union:
    return Union([(each.launched.study, each.launched.wanted, each.done) for each in checked])


def _print_plan(
    launched: LaunchedStudy, done: set[str], notes: Sequence[str], console: "Console"
) -> None:
    console.print(plan_summary.render(launched.study, launched.plan, done))
    for line in notes:
        console.print(line, soft_wrap=True, highlight=False)


def _plan_notes(launched: LaunchedStudy, done: set[str], on: str) -> Iterator[str]:
    """Yield what a plan says of finished runs, loading, memory and speed."""
    from hpc_xfer.store.finished.finished_weights import changed_weights

    plan, store, site = launched.wanted, launched.store, launched.site
    yield from notes_on_folders(store, launched.site_file)
    yield from changed_weights(plan, done, store, site)
    todo = plan.without(done)
    finished = finished_times(plan, store) if on == "slurm" and done and todo.runs else None
    yield from resource_notes(todo, site.slurm, on, finished)


def _submit(launched: LaunchedStudy, args: argparse.Namespace, look: FinishedRuns) -> cli.Answer:
    """Submit the missing runs and return: the study finishes by itself."""
    from hpc_xfer.execution.local_pool import PoolResult
    from hpc_xfer.results.freshness import is_report_current
    from hpc_xfer.scheduling.submit import submit_missing

    retrier: Retrier = "all" if args.retry_failed else "launch"
    report = submit_missing(launched, retrier, partial(terminal.say, stderr=True), look)
    for note in report.notes if report.is_finished else ():  # else they are among the sentences
        terminal.say(note, stderr=True)
    if report.is_finished and not report.given_up and is_report_current(launched, look):
        return _all_done(launched, args)
    if report.is_finished:
        return _finish(launched, PoolResult(), report.given_up, args)
    if not args.json:
        terminal.say(*report.sentences(_arguments(args).found, launched.site.slurm.jobs_may_submit))
    code = 1 if report.given_up or report.refused or report.relay_error else 0
    return code, {"schema": 1, "study": launched.study.name, **report.as_json()}


def _all_done(launched: LaunchedStudy, args: argparse.Namespace) -> cli.Answer:
    """Say that nothing is left to do, neither runs nor tables nor the report."""
    from hpc_xfer.execution.local_pool import PoolResult

    runs = len(launched.wanted.runs)
    if not args.json:
        terminal.say(f"all {runs:,} runs have a result" if runs != 1 else "its run has a result")
        terminal.say(f"report: {launched.store.study(launched.study.name).report}")
    return 0, PoolResult().as_json(launched, {}, runs)


def _arguments(args: argparse.Namespace) -> StudyArguments:
    """Arguments by which other commands find what was launched."""
    return StudyArguments(cli.again(args), args.rehearse, args.stand_ins)


def _run_here(
    launched: LaunchedStudy, done: set[str], args: argparse.Namespace, look: FinishedRuns
) -> cli.Answer:
    """Run the missing runs on this machine, then collect and report what is new."""
    from hpc_xfer.execution.local_pool import LocalPool, PoolResult
    from hpc_xfer.results.freshness import is_report_current
    from hpc_xfer.scheduling.runs_to_submit import select_for_this_machine
    from hpc_xfer.scheduling.submit_report import failed_before

    retrier: Retrier = "all" if args.retry_failed else "launch"
    selected = select_for_this_machine(launched, retrier, done)
    terminal.say(*failed_before(selected.given_up), stderr=True)
    if not selected.plan.runs and not selected.given_up and is_report_current(launched, look):
        return _all_done(launched, args)
    outcome = PoolResult()
    if selected.plan.runs:
        outcome = LocalPool(launched, selected.plan, done, args.jobs).run()
    return _finish(launched, outcome, selected.given_up, args)


def _finish(
    launched: LaunchedStudy,
    outcome: "PoolResult",
    left_out: dict[str, str],
    args: argparse.Namespace,
) -> cli.Answer:
    """Collect and report the results so far, also after failures; repeat at the end what failed."""
    from hpc_xfer.monitoring.failure_summary import FailureSummary
    from hpc_xfer.rehearsing.verdict import judged
    from hpc_xfer.reporting import findings
    from hpc_xfer.reporting.report_study import report_study
    from hpc_xfer.results import collect_tables

    study, plan, store = launched.study, launched.plan, launched.store
    folder, console = store.study(study.name), None if args.json else terminal.console()
    collected = collect_tables.collect(plan, store, folder.summary, folder)
    page = report_study(study, folder)
    failed = {**left_out, **outcome.failed}
    content = outcome.as_json(launched, failed, len(store.done(plan)))
    if console is not None:
        findings.show(console, collected, rehearsal.worth_of_numbers(study))
        console.print(f"report: {page}", soft_wrap=True)
        summary = FailureSummary(plan, store, failed, _arguments(args), outcome.logs)
        terminal.say(*summary.lines())
    code = 0
    if study.rehearsal:
        code, verdict = judged(plan, store, study.name, console, failed, launched.only)
        content |= verdict
    if outcome.interrupted:
        terminal.say("interrupted" if study.rehearsal else cli.INTERRUPTED, stderr=True)
    return (1 if failed or outcome.interrupted else code), content


_FLAGS = {
    "--dry-run": "show the plan, start nothing",
    "--retry-failed": "also retry runs that failed before",
    "--rehearse": "run everything with two steps per run, in a temporary store beside the store",
    "--stand-ins": "with --rehearse: on tiny stand-ins that it makes, so that no data is needed",
    "--by-hand": "print the sbatch lines to run by hand instead; see sbatch/",
    "--json": "for scripts",
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "launch",
        "Run the missing runs of a study, then collect and report. On a cluster the runs are "
        "submitted as jobs, and the study finishes by itself; see `status`. A second launch "
        "changes nothing; a launch after a failure goes on. Several grids are checked first, then "
        "launched in turn; a run that they share is run once.",
        "python -m hpc_xfer.launch grids/demo/demo.yaml --site grids/demo/demo.site.yaml --dry-run",
    )
    cli.add_grid_arguments(parser, several=True)
    cli.add_only_argument(parser)
    parser.add_argument(
        "--on",
        choices=["slurm", "local"],
        help="where to run (default: slurm if sbatch is on PATH, else local)",
    )
    parser.add_argument(
        "--jobs", type=int, help="with --on local: runs at once (default: one per GPU, else core)"
    )
    for option, text in _FLAGS.items():
        parser.add_argument(option, action="store_true", help=text)
    args = parser.parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"--jobs must be 1 or more, got {args.jobs}")
    if args.stand_ins and not args.rehearse:
        parser.error("--stand-ins is for rehearsals; add --rehearse")
    return args


if __name__ == "__main__":
    cli.exit_with(main)
