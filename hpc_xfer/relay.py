"""Keep a launched study going: the relay job runs last, retries, and submits what is left.

python -m hpc_xfer.relay --store runs --study size_scaling

It finds the status of every run, retries transient failures, submits what did not fit into the
queue, collects, reports, and submits its successor while work remains.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.config.site import find_site_file
from hpc_xfer.errors import ClaimLost, SlurmError, StoreError
from hpc_xfer.scheduling.submit import submit_missing
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from hpc_xfer.slurm.nodes.node_cpus import with_cpus
from hpc_xfer.slurm.partition_time import with_time_limit
from hpc_xfer.store.launched_study import LaunchedStudy, launched_parts, read_launched
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.store.retry_policy import RELAY_RESTARTS
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import terminal
from hpc_xfer.system.job_environment import restart_count
from hpc_xfer.system.written_path import absolute


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    terminal.outlive_readers()  # its log may be on a full disk, its store on another one
    site_file = find_site_file(args.site)
    store, site = site_variables.store_and_site(args.store, args.study, args.site)
    store.check(args.study)
    try:
        study, plan = read_launched(store, args.study)
        try:
            if site.slurm.jobs_may_submit:
                here = with_time_limit(with_cpus(site), study.resources.pretrain)
                site_file, only = (
                    site_file and absolute(site_file),
                    launched_parts(store, args.study),
                )
                launched = LaunchedStudy(study, plan, store, here, site_file, only)
                report = submit_missing(launched, "relay", terminal.say)
                terminal.say(*report.sentences_of_relay())
        finally:  # whatever Slurm answers
            _collect(study, plan, store)
    except (SlurmError, StoreError, ClaimLost) as error:
        if restart_count() >= RELAY_RESTARTS:
            raise
        terminal.say(*error.sentences, "the relay job is requeued and tries again")
        return REQUEUE_EXIT_CODE
    return 0


def _collect(study: Study, plan: Plan, store: Store) -> None:
    from hpc_xfer.reporting.report_study import report_study
    from hpc_xfer.results import collect_tables

    folder = store.study(study.name)
    collected = collect_tables.collect(plan, store, folder.summary, folder)
    terminal.say(f"{collected.finished} of {collected.planned} runs have a result")
    terminal.say(f"report: {report_study(study, folder)}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "relay",
        "Keep a launched study going. The relay job runs this command; you can run it too.",
        "python -m hpc_xfer.relay --store runs --study size_scaling",
    )
    parser.add_argument("--store", type=Path, required=True, help="the store")
    parser.add_argument("--study", required=True, help="name of a study that was launched there")
    parser.add_argument("--site", type=Path, help="site file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.exit_with(main)
