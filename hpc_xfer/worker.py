"""Execute packs of runs: the one command, besides `shards`, that imports torch.

Jobs of Slurm and the local pool start the same worker.

    python -m hpc_xfer.worker --store runs --study demo --pack c0ffee12ab34/0   # one pack
    python -m hpc_xfer.worker --store runs --study demo                         # packs from stdin

Exit code 88: the GPU failed in a way that this process cannot get over. It has reported the run; a
fresh worker can execute the others.

Events go to standard output as JSON lines (see system/worker_events.py), logs to standard error.
"""

import argparse
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer import cli
from hpc_xfer.config.site import Site
from hpc_xfer.errors import XferError
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.store.pack_file import read_pack
from hpc_xfer.store.store import Store
from hpc_xfer.system import terminal
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.limits import cycle_collector
from hpc_xfer.system.worker_events import SPENT_EXIT_CODE, WorkerEvent

if TYPE_CHECKING:
    from hpc_xfer.compute.distributed.stop_signal import StopSignal

log = logging.getLogger("hpc_xfer.worker")  # also where it runs as __main__


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    faulthandler.enable()  # a crash, and SIGABRT when it hangs, leaves every thread's stack
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.captureWarnings(True)
    site_file = Path(args.site) if args.site else None
    store, site = site_variables.store_and_site(Path(args.store), args.study, site_file)
    from hpc_xfer.compute.distributed.stop_signal import StopSignal

    stop = StopSignal().on(signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    process_rank = ProcessRank(args.rank, args.world, args.local_rank, args.attempt)
    code = 1
    try:
        code = _serve(args, store, site, process_rank, stop)
        return code
    finally:
        if code == SPENT_EXIT_CODE or (process_rank.size > 1 and _has_open_group()):
            _end_now(code)


def _serve(
    args: argparse.Namespace,
    store: Store,
    site: Site,
    process_rank: ProcessRank,
    stop: "StopSignal",
) -> int:
    packs = (
        iter([args.pack]) if args.pack else _from_stdin(stop, args.parent)
    )  # before the slow imports
    with cycle_collector.passing_over():
        from hpc_xfer.compute.run_pack import PackRunner, ProcessSpent, failed_event

    failed = False

    def emit(event: WorkerEvent) -> None:
        nonlocal failed
        failed |= event.kind == "failed"
        if process_rank.rank == 0 or event.kind in ("failed", "pack"):
            terminal.say(event.to_json())

    runner = PackRunner(store, site, process_rank, stop, emit)
    for pack_id in packs:
        try:
            store.check(args.study)
            pack = read_pack(store, args.study, pack_id).without(args.skip)
            runner.execute(pack.share(*args.share))
        except ProcessSpent:
            log.error("the GPU is of no use to this process any more; a fresh one does the rest")
            return SPENT_EXIT_CODE
        except XferError as error:
            log.error("%s", error)
            emit(failed_event(None, error))
        emit(WorkerEvent("pack", pack=pack_id))
        if stop.requested:
            break
    return 1 if failed and args.pack else 0


def _has_open_group() -> bool:
    """Tell whether an error left the process group open: the other ranks must see our end."""
    from hpc_xfer.compute.distributed import process_group

    return process_group.is_open()


def _end_now(code: int) -> None:
    """Exit without the normal end of Python and torch.

    It could wait for other ranks, or for a GPU that does not answer. All is reported and written.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code or 1)


def _from_stdin(stop: "StopSignal", parent: int) -> Iterator[str]:
    """Return pack names until the launcher closes the pipe; its death also stops the current run.

    Args:
        parent: process id of the launcher, which may be dead already.
    """
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line.strip())
        lines.put(None)
        if os.getppid() != parent:  # the launcher died: save a checkpoint and exit
            stop.request()

    threading.Thread(target=read, daemon=True).start()
    return iter(lines.get, None)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "worker",
        "Execute packs of runs. Launchers start it; you can, to look closely at one pack.",
        "python -m hpc_xfer.worker --store runs --study demo --pack c0ffee12ab34/0",
    )
    parser.add_argument("--store", required=True, help="the store")
    parser.add_argument("--study", required=True, help="name of the study that wrote the packs")
    parser.add_argument("--site", help="site file")
    parser.add_argument(
        "--pack", metavar="BATCH/INDEX", help="execute this pack (default: read packs from stdin)"
    )
    parser.add_argument(
        "--skip", metavar="RUN", action="append", default=[], help="leave out this run"
    )
    parser.add_argument(
        "--share", type=_share, default=(0, 1), metavar="I/N",
        help="the part of worker I of the N that execute this pack together (default: 0/1)",
    )  # fmt: skip
    parser.add_argument(
        "--parent", type=int, default=os.getppid(), help="process that sends packs (default: ours)"
    )
    parser.add_argument("--rank", type=int, default=0, help="rank of this process (default: 0)")
    parser.add_argument("--world", type=int, default=1, help="number of processes (default: 1)")
    parser.add_argument("--local-rank", type=int, default=0, help="rank on this node (default: 0)")
    parser.add_argument("--attempt", default="0", help="the same for all ranks of one start")
    return parser.parse_args(argv)


def _share(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    return int(number), int(count)


if __name__ == "__main__":
    cli.exit_with(main)
