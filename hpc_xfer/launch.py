"""Launch a study: check it, show the plan, run or submit the missing runs, collect, report.

python -m hpc_xfer.launch grids/demo.yaml
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer import cli
from hpc_xfer.config.site import find_site_file, load_site
from hpc_xfer.slurm.node_cpus import with_cpus
from hpc_xfer.slurm.sbatch import is_installed
from hpc_xfer.store.access.notes import notes_on_folders, told_once
from hpc_xfer.store.finished_costs import make_plan_with_costs
from hpc_xfer.store.launched_study import (
    LaunchedStudy,
    load_in_store,
    other_changes,
    prepare_store,
)
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.store.rehearsal_store import new_rehearsal_store
from hpc_xfer.store.retry_policy import Retrier
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import read_ledger
from hpc_xfer.study import plan_summary, rehearsal
from hpc_xfer.study.loader_memory import loading_notes
from hpc_xfer.study.loading_speed import speed_notes
from hpc_xfer.study.memory_estimate import memory_warnings
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import machine, provenance, terminal
from hpc_xfer.system.written_path import absolute

if TYPE_CHECKING:  # each way to launch imports its own, so that --help starts at once
    from rich.console import Console

    from hpc_xfer.execution.local_pool import PoolResult


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    from hpc_xfer.study.preflight.check_inputs import check_inputs  # --help needs none

    site_file = find_site_file(args.site)
    site_file = absolute(site_file) if site_file else None
    site = load_site(args.site)
    store = cli.store_of(args.store, site)
    study = load_in_store(args.grid, store, args.set or ())
    on = args.on or ("slurm" if is_installed() else "local")
    if not (args.dry_run or args.rehearse):
        store.check(study.name)
    if args.stand_ins:
        store = new_rehearsal_store(store)
        study, site_file = _on_stand_ins(study, store, site_file, on)
        site = load_site(site_file)
    checked = check_inputs(study, site, on)
    site = with_cpus(site) if on == "slurm" else site
    if args.rehearse and not args.stand_ins:
        study, store = rehearsal.rehearsal_of(study), new_rehearsal_store(store)
    if args.rehearse:
        terminal.say(f"rehearsing in {store.root}; remove it when you are done", stderr=True)
    plan = make_plan_with_costs(study, site, store, on, checked.infos)
    launched = LaunchedStudy(study, plan, store, site, site_file)
    done = store.done(launched.plan)
    notes = [*other_changes(study, store), *checked.notes, *_plan_notes(launched, done, on)]

    if not args.dry_run:
        _open_store(launched)
    if args.by_hand:
        from hpc_xfer.scheduling.by_hand import by_hand

        _prepare(launched)
        terminal.say("\n".join(by_hand(launched, done)), lines=True)
        return 0
    if args.dry_run:
        return _show(launched, done, on, notes, args.json)
    if not args.json:
        _print_plan(launched, done, notes, terminal.console(stderr=True))
    if on == "slurm":
        return _submit(launched, args)
    _prepare(launched)
    read_ledger(store).record_event(study.name, "launch", on=on, **provenance.code())
    return _run_here(launched, done, args)


def _on_stand_ins(
    study: Study, store: Store, site_file: Path | None, on: str
) -> tuple[Study, Path]:
    """Shrink a study to stand-ins, make them in the store, and return their site file."""
    from hpc_xfer.config.training_data.source_needs import source_needs
    from hpc_xfer.dataset_tools.stand_ins.stand_in_site import make_stand_ins
    from hpc_xfer.study.stand_ins import stand_in_study

    if on == "local" and not machine.gpus():  # several processes on a CPU show nothing more
        study = stand_in_study.on_one_process(study)
    study = stand_in_study.with_stand_ins(rehearsal.rehearsal_of(study))
    for line in stand_in_study.SHRUNK:
        terminal.say(f"stand-ins: {line}", stderr=True)
    datasets = dict.fromkeys(trial.dataset for trial in study.trials)
    needs = source_needs(study.pretrains)
    return study, make_stand_ins(store.root / "stand_ins", needs, datasets, site_file)


def _open_store(launched: LaunchedStudy) -> None:
    """Make the store; tell once what it means where its members are trusted."""
    launched.store.open(launched.study.name)
    for sentence in told_once(launched.store):
        terminal.say(sentence, stderr=True)


def _prepare(launched: LaunchedStudy) -> None:
    prepare_store(launched.study, launched.plan, launched.store)
    site_variables.write(launched.store, launched.study.name, launched.site.variables)


def _show(
    launched: LaunchedStudy, done: set[str], on: str, notes: Sequence[str], as_json: bool
) -> int:
    """Print the plan and, for Slurm, the jobs that would be submitted."""
    from hpc_xfer.scheduling import job_preview

    jobs = job_preview.jobs_to_come(launched, done) if on == "slurm" else []
    if as_json:
        content = plan_summary.as_json(launched.study, launched.plan, done)
        content |= {"on": on, "notes": list(notes)}
        cli.say_json({**content, "jobs": [job.as_json() for job in jobs]})
        return 0
    console = terminal.console()
    _print_plan(launched, done, notes, console)
    if jobs:
        console.print(job_preview.render(jobs))
    return 0


def _print_plan(
    launched: LaunchedStudy, done: set[str], notes: Sequence[str], console: "Console"
) -> None:
    console.print(plan_summary.render(launched.study, launched.plan, done))
    for line in notes:
        console.print(line, soft_wrap=True, highlight=False)


def _plan_notes(launched: LaunchedStudy, done: set[str], on: str) -> Iterator[str]:
    """Yield what a plan says of finished runs, loading, memory and speed."""
    from hpc_xfer.store.finished.finished_weights import changed_weights

    plan, store, site = launched.plan, launched.store, launched.site
    todo, slurm = plan.without(done), site.slurm
    yield from notes_on_folders(store, launched.site_file)
    yield from changed_weights(plan, done, store, site)
    yield from loading_notes(todo, slurm) if on == "slurm" else ()
    yield from (f"warning: {line}" for line in memory_warnings(todo, slurm))
    teraflops = slurm.teraflops if on == "slurm" else None
    yield from (f"slow: {line}" for line in speed_notes(todo, teraflops))


def _submit(launched: LaunchedStudy, args: argparse.Namespace) -> int:
    """Submit the missing runs and return: the study finishes by itself."""
    from hpc_xfer.execution.local_pool import PoolResult
    from hpc_xfer.results.freshness import is_report_current
    from hpc_xfer.scheduling.submit import submit_missing

    retrier: Retrier = "all" if args.retry_failed else "launch"
    report = submit_missing(launched, retrier, lambda line: terminal.say(line, stderr=True))
    for note in report.notes if report.is_finished else ():  # else they are among the sentences
        terminal.say(note, stderr=True)
    if report.is_finished and not report.given_up and is_report_current(launched):
        if args.json:
            result = _result(launched, PoolResult(), {}, len(launched.plan.runs))
            cli.say_json(result)
        else:
            terminal.say(f"all {len(launched.plan.runs):,} runs have a result")
            terminal.say(f"report: {launched.store.study(launched.study.name).report}")
        return 0
    if report.is_finished:
        return _finish(launched, PoolResult(), report.given_up, args.json)
    if args.json:
        content = {"schema": 1, "study": launched.study.name, **report.as_json()}
        cli.say_json(content)
    else:
        arguments = cli.again(args, *(["--rehearsal"] if args.rehearse else []))
        terminal.say(*report.sentences(arguments, launched.site.slurm.jobs_may_submit))
    return 1 if report.given_up or report.refused or report.relay_error else 0


def _run_here(launched: LaunchedStudy, done: set[str], args: argparse.Namespace) -> int:
    """Run the missing runs on this machine, then collect and report."""
    from hpc_xfer.execution.local_pool import LocalPool, PoolResult
    from hpc_xfer.scheduling.runs_to_submit import select_for_this_machine

    retrier: Retrier = "all" if args.retry_failed else "launch"
    selected = select_for_this_machine(launched, retrier, done)
    for run_id, message in selected.given_up.items():
        way = "add --retry-failed to run it again"
        terminal.say(f"left out: {run_id} failed before ({message}); {way}", stderr=True)
    outcome = PoolResult()
    if selected.plan.runs:
        outcome = LocalPool(launched, selected.plan, done, args.jobs).run()
    return _finish(launched, outcome, selected.given_up, args.json)


def _finish(
    launched: LaunchedStudy, outcome: "PoolResult", left_out: dict[str, str], as_json: bool
) -> int:
    """Collect and report the results so far, also after failures."""
    from hpc_xfer.reporting import findings
    from hpc_xfer.reporting.report_study import report_study
    from hpc_xfer.results import collect_tables

    folder = launched.store.study(launched.study.name)
    collected = collect_tables.collect(launched.plan, launched.store, folder.summary, folder)
    page = report_study(launched.study, folder)
    failed = {**left_out, **outcome.failed}
    if as_json:
        done = len(launched.store.done(launched.plan))
        cli.say_json(_result(launched, outcome, failed, done))
    else:
        console = terminal.console()
        findings.show(console, collected)
        console.print(f"report: {page}", soft_wrap=True)
    is_passed = not launched.study.rehearsal or _judge(launched, as_json)
    if outcome.interrupted:
        terminal.say(cli.INTERRUPTED, stderr=True)
    return 1 if failed or outcome.interrupted or not is_passed else 0


def _judge(launched: LaunchedStudy, as_json: bool) -> bool:
    """Show what a rehearsal has passed, stage by stage, and tell whether all of it has."""
    from hpc_xfer.monitoring import rehearsal_verdict

    stages = rehearsal_verdict.judge(launched.plan, launched.store, launched.study.name)
    if not as_json:
        rehearsal_verdict.show(stages, terminal.console())
    return all(stage.is_passed for stage in stages)


def _result(
    launched: LaunchedStudy, outcome: "PoolResult", failed: dict[str, str], done: int
) -> dict[str, object]:
    """The output of --json where nothing is left to run."""
    folder = launched.store.study(launched.study.name)
    return {
        "study": launched.study.name, "runs": len(launched.plan.runs), "done": done,
        "failed": failed,
        "blocked": sorted(outcome.blocked), "interrupted": outcome.interrupted,
        "report": str(folder.report), "summary": str(folder.summary),
    }  # fmt: skip


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "launch",
        "Run the missing runs of a study, then collect and report. On a cluster the runs are "
        "submitted as jobs, and the study finishes by itself; see `status`. A second launch "
        "changes nothing; a launch after a failure goes on.",
        "python -m hpc_xfer.launch grids/demo.yaml --site grids/demo.site.yaml --dry-run",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument(
        "--on",
        choices=["slurm", "local"],
        help="where to run (default: slurm if sbatch is on PATH, else local)",
    )
    parser.add_argument(
        "--jobs", type=int, help="with --on local: runs at once (default: one per GPU, else core)"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing")
    parser.add_argument(
        "--retry-failed", action="store_true", help="also retry runs that failed before"
    )
    parser.add_argument(
        "--rehearse", action="store_true",
        help="run everything with two steps per run, in a temporary store beside the store",
    )  # fmt: skip
    parser.add_argument(
        "--stand-ins", action="store_true",
        help="with --rehearse: on tiny stand-ins that it makes, so that no data is needed",
    )  # fmt: skip
    parser.add_argument(
        "--by-hand",
        action="store_true",
        help="print the sbatch lines to run by hand instead; see sbatch/",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"--jobs must be 1 or more, got {args.jobs}")
    if args.stand_ins and not args.rehearse:
        parser.error("--stand-ins is for rehearsals; add --rehearse")
    return args


if __name__ == "__main__":
    cli.exit_with(main)
