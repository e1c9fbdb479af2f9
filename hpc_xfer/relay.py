"""Keep a launched study going: what the small job behind everything runs.

python -m hpc_xfer.relay --store runs --study size_scaling

It looks how every run stands, retries what failed for reasons that pass, submits what did not fit
into the queue, collects, reports, and submits its successor while work remains.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.config.site import find_site_file, load_site
from hpc_xfer.errors import ClaimLost, SlurmError, StoreError
from hpc_xfer.reporting import report_page
from hpc_xfer.results import collect_tables
from hpc_xfer.scheduling.submit import submit_missing
from hpc_xfer.scheduling.submit_report import SubmitReport
from hpc_xfer.slurm.batch_script import REQUEUE_EXIT_CODE
from hpc_xfer.store.launched_study import LaunchedStudy, read_launched
from hpc_xfer.store.retry_policy import RELAY_RESTARTS
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.study_file import Study
from hpc_xfer.system.job_environment import restart_count


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    site_file = find_site_file(args.site)
    site = load_site(args.site)
    store = Store(args.store)
    try:
        asked, whole = read_launched(store, args.study)
        try:
            if site.slurm.jobs_may_submit:
                launched = LaunchedStudy(
                    asked, whole, store, site, site_file and site_file.resolve()
                )
                _tell(submit_missing(launched, "relay", print))
        finally:  # what there is, whatever Slurm says
            _collect(asked, whole, store)
    except (SlurmError, StoreError, ClaimLost) as error:
        if restart_count() >= RELAY_RESTARTS:
            raise
        print(f"{error}\nthis relay tries again", flush=True)
        return REQUEUE_EXIT_CODE
    return 0


def _collect(asked: Study, whole: Plan, store: Store) -> None:
    folder = store.study(asked.name)
    collected = collect_tables.collect(whole, store, folder.summary)
    print(f"{collected.finished} of {collected.planned} runs have a result")
    print(f"report: {report_page.write(asked, folder)}")


def _tell(report: SubmitReport) -> None:
    print(
        f"submitted {report.runs} runs in {len(report.submitted)} jobs; {report.live} were in the "
        f"queue; {report.deferred} wait for room; {len(report.given_up)} given up, "
        f"{report.blocked} behind them"
    )
    for run_id, why in report.given_up.items():
        print(f"given up: {run_id}: {why}")
    for line in report.troubles():
        print(line)
    if report.full:
        print(report.full)
    if report.relay:
        print(f"next relay: job {report.relay}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "relay",
        "Keep a launched study going; the job behind everything runs it, and so can you.",
        "python -m hpc_xfer.relay --store runs --study size_scaling",
    )
    parser.add_argument("--store", type=Path, required=True, help="the store")
    parser.add_argument("--study", required=True, help="name of a study that was launched there")
    parser.add_argument("--site", type=Path, help="site file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.exit_with(main)
