"""Cancel the jobs of a study, and no others.

python -m hpc_xfer.cancel grids/size_scaling.yaml

Jobs of other studies stay, and so do jobs with runs that another study waits for.
"""

import argparse
from collections.abc import Sequence

from hpc_xfer import cli
from hpc_xfer.config.site import Slurm, load_site
from hpc_xfer.monitoring.study_state import StudyState, is_elsewhere, read_study_state
from hpc_xfer.scheduling.cancellation import (
    CancelReport,
    cancel,
    cancel_part,
    cancel_removed,
    forget_cluster,
)
from hpc_xfer.states.moved_store import left_to_you
from hpc_xfer.store.launched_study import load_in_store, plan_in_store
from hpc_xfer.store.rehearsal_store import load_last_rehearsal
from hpc_xfer.store.store import Store
from hpc_xfer.study.selected.only import selected
from hpc_xfer.system.terminal import counted, say


def main(argv: Sequence[str] | None = None) -> int:
    parser = cli.parser(
        "cancel",
        "Cancel the jobs of a study, except those with a run that another study of the store "
        "waits for. Launch the study again to go on from the checkpoints.",
        "python -m hpc_xfer.cancel grids/size_scaling.yaml",
    )
    cli.add_grid_arguments(parser, several=True)
    cli.add_only_argument(parser)
    parser.add_argument(
        "--removed", action="store_true",
        help="cancel only the jobs whose runs the grid no longer has",
    )  # fmt: skip
    parser.add_argument(
        "--forget-cluster", metavar="NAME",
        help="give up the jobs on a cluster that is gone for good, so that they are launched again",
    )  # fmt: skip
    parser.add_argument("--rehearsal", action="store_true", help="cancel its last rehearsal")
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    if args.only and (args.removed or args.forget_cluster):
        parser.error("--only goes with neither --removed nor --forget-cluster")
    return cli.for_each_grid(args, _cancel)


def _cancel(args: argparse.Namespace) -> cli.Answer:
    """Cancel the jobs of one study."""
    site = load_site(args.site)
    store = cli.store_of(args.store, site)
    study = load_in_store(args.grid, store, args.set)
    if args.rehearsal:
        study, store = load_last_rehearsal(study, store)
    store.check(study.name)
    if args.forget_cluster:
        return _forget(store, study.name, site.slurm, args)
    if not study.pretrains:  # imported results alone are never launched
        report = CancelReport()
    elif args.removed:
        report = cancel_removed(store, study.name, site.slurm, plan_in_store(study, store))
    elif args.only:
        part = selected(plan_in_store(study, store), args.only)
        report = cancel_part(store, study.name, site.slurm, part)
    else:
        report = cancel(store, study.name, site.slurm)
    plan = plan_in_store(study, store)
    others = _at_work_elsewhere(read_study_state(plan, store, study.name, site.slurm))
    if not args.json:
        _tell(report, others)
    content = {"study": study.name, **report.as_json(), "at_work_elsewhere": others}
    return 1 if report.silent else 0, content


def _tell(report: CancelReport, others: list[str]) -> None:
    cancelled = len(report.jobs)
    jobs = "1 job" if cancelled == 1 else f"{cancelled:,} jobs and elements of arrays"
    is_none = not (report.jobs or report.kept or report.mixed or report.left or report.silent)
    why = ": none with runs of it is in the queue" if is_none else ""
    say(f"cancelled {jobs}{why}")
    if report.kept:
        kept = " ".join(report.kept[:20])
        say(f"left {len(report.kept):,} that another study waits for: {kept}")
    if report.mixed:
        mixed = " ".join(report.mixed[:20])
        say(f"left {len(report.mixed):,} that also have runs outside --only: {mixed}")
    say(*left_to_you(report.left))
    for owner in others:
        say(f"{owner} goes on: it works on this study outside its jobs; end it there")
    for cluster in report.silent:
        say(f"cluster {cluster} does not answer; cancel again when it does")


def _at_work_elsewhere(state: StudyState) -> list[str]:
    """The processes that work on runs of the study outside its jobs."""
    owners = (status.why for status in state.status.values() if is_elsewhere(status))
    return list(dict.fromkeys(owners))


def _forget(store: Store, study: str, slurm: Slurm, args: argparse.Namespace) -> cli.Answer:
    count = forget_cluster(store, study, slurm, args.forget_cluster)
    if not args.json:
        jobs = counted(count, "job")
        say(f"forgot {jobs} on cluster {args.forget_cluster}; launch the study again")
    return 0, {"schema": 1, "study": study, "forgotten": count}


if __name__ == "__main__":
    cli.exit_with(main)
