"""Run one pack in a Slurm job: a light process per rank supervises a worker.

    srun python -m hpc_xfer.job --store runs --study demo --batch c0ffee12ab34

The index of the job array names the pack. The supervisor passes signals on, ends a worker that
hangs, records the death of a worker in error.json, and has the job requeued where that helps:

    exit 0   every run of the pack has its record
    exit 1   a run has no record, and its error.json says why
    exit 85  requeued, after the time limit or an accident; goes on from the last checkpoint
    exit 86  stopped by SIGTERM: Slurm requeues a job that it preempted, nobody a cancelled one
    exit 87  another process works on the runs that are left, or on their parent; nothing failed
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.errors import XferError
from hpc_xfer.execution.supervisor import Supervisor
from hpc_xfer.execution.worker_process import say, worker_command
from hpc_xfer.execution.worker_watch import Signals
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.system.job_environment import ProcessRank


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    signals = Signals()
    signals.install()
    site_file = Path(args.site) if args.site else None
    store, site = site_variables.store_and_site(Path(args.store), args.study, site_file)
    process_rank = ProcessRank.from_slurm()
    try:
        store.check(args.study)
        supervisor = Supervisor(store, site, args.study, args.batch, process_rank, signals)
        return supervisor.run(worker_command(args.store, args.study, args.site))
    except XferError as error:
        say(str(error))
        return 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "job",
        "Run a pack in a Slurm job: supervises a worker, requeues the job where that helps.",
        "python -m hpc_xfer.job --store runs --study demo --batch c0ffee12ab34",
    )
    parser.add_argument("--store", required=True, help="the store")
    parser.add_argument("--study", required=True, help="name of the study that wrote the batch")
    parser.add_argument("--site", help="site file")
    parser.add_argument(
        "--batch", required=True, help="id of the job array; its index names the pack"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.exit_with(main)
