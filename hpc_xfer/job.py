"""What Slurm starts: one light process per rank that guards a worker, and decides how a job ends.

    srun python -m hpc_xfer.job --store runs --study demo --batch c0ffee12ab34

The index of an array names the pack. The guard passes signals on, ends a worker that hangs, says in
error.json what a dying worker could not, and has the job requeued where that helps:

    exit 0   every run of the pack has its record
    exit 1   some have not, and error.json says why
    exit 85  interrupted by the time limit or by an accident, saved, requeued
    exit 86  told to go (SIGTERM): Slurm requeues what it preempts, and nobody what was cancelled
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.errors import XferError
from hpc_xfer.execution.supervisor import Signals, Supervisor
from hpc_xfer.execution.worker_process import say
from hpc_xfer.store.store import Store
from hpc_xfer.system.job_environment import ProcessRank


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    signals = Signals()
    signals.install()
    store, site = Store(Path(args.store)), load_site(Path(args.site) if args.site else None)
    place = ProcessRank.from_slurm()
    try:
        guard = Supervisor(store, site, args.study, args.batch, place, signals)
        return guard.run(_worker(args))
    except XferError as error:
        say(str(error))
        return 1


def _worker(args: argparse.Namespace) -> list[str]:
    command = [sys.executable, "-u", "-m", "hpc_xfer.worker", "--store", args.store]
    return [*command, "--study", args.study, *(["--site", args.site] if args.site else [])]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "job",
        "What Slurm starts for a pack of runs: guards a worker, requeues where that helps.",
        "python -m hpc_xfer.job --store runs --study demo --batch c0ffee12ab34",
    )
    parser.add_argument("--store", required=True, help="the store")
    parser.add_argument("--study", required=True, help="name of the study that wrote the batch")
    parser.add_argument("--site", help="site file")
    parser.add_argument("--batch", required=True, help="what was submitted; the array index counts")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.exit_with(main)
