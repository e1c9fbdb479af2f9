"""Executes packs: the one door between the login node's files and those that import torch.

A launcher starts it; Slurm and this machine use the same one.

    python -m hpc_xfer.worker --store runs --study demo --pack c0ffee12ab34/0   # one pack
    python -m hpc_xfer.worker --store runs --study demo                         # packs from stdin

Events go to standard output as JSON lines, logs to standard error.
"""

import argparse
import errno
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer import cli
from hpc_xfer.config.site import Site, load_site
from hpc_xfer.errors import ClaimLost, DataError, Diverged, Interrupted, StoreError, XferError
from hpc_xfer.store import failures, run_claims
from hpc_xfer.store.pack_file import LoadedPack, read_pack
from hpc_xfer.store.run_claims import Claim
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank

if TYPE_CHECKING:
    from hpc_xfer.training.distributed import World
    from hpc_xfer.training.stop import StopSignal

log = logging.getLogger("hpc_xfer.worker")
Emit = Callable[[dict[str, Any]], None]


def execute(
    pack: LoadedPack, store: Store, site: Site, place: ProcessRank, stop: "StopSignal", emit: Emit
) -> None:
    """Run after run; a failing one does not stop the others, being asked to stop does.

    All ranks of a pack call this; rank 0 claims, writes and tells. The others tell only of their
    own failures, to the guard beside them.
    """
    import torch

    assert place.size == 1 or len(pack.runs) <= 1, "after an error a group does no other run"
    torch.backends.cudnn.allow_tf32 = False  # torch's default rounds fp32 convolutions to 10 bits
    if not torch.cuda.is_available():
        torch.set_num_threads(pack.resources.threads)
    for run in pack.runs:
        if stop.requested:
            emit({"event": "interrupted", "run": run.id})
            return
        _execute_run(run, pack, store, site, place, stop, emit)


def _execute_run(
    run: Run,
    pack: LoadedPack,
    store: Store,
    site: Site,
    place: ProcessRank,
    stop: "StopSignal",
    emit: Emit,
) -> None:
    from hpc_xfer.training import distributed

    claim = None
    folder = store.run(run.id)
    meeting = folder.rendezvous(place.attempt)
    if place.rank == 0:
        # In this order: whoever sees a claim given back then sees the record written before that.
        held = run_claims.is_alive(folder)
        if not held and store.is_done(run):
            distributed.call_off(meeting, place.size)
            folder.drop_checkpoints()  # the owner may have been killed before it could
            emit({"event": "done", "run": run.id})
            return
        claim = None if held else run_claims.take(folder)
        if claim is None:
            distributed.call_off(meeting, place.size)
            emit({"event": "held", "run": run.id, "by": run_claims.holder(folder)})
            return
        emit({"event": "started", "run": run.id})
    try:
        if place.rank == 0:
            store.write_recipe(run)
        with distributed.join(place.rank, place.size, place.local_rank, meeting, stop) as world:
            _task(run, pack, store, site, claim, world, stop)
        emit({"event": "done", "run": run.id})
    except Interrupted:
        emit({"event": "interrupted", "run": run.id})
    except ClaimLost as error:
        log.warning("%s", error)
        emit({"event": "held", "run": run.id, "by": run_claims.holder(store.run(run.id))})
    except Exception as error:  # reported with its trace; the next run of the pack gets its chance
        log.exception("run %s failed", run.id)
        if place.rank == 0:
            emit({"event": "failed", "run": run.id, **_write_error(store, run, error)})
        elif place.size > 1:
            emit({"event": "failed", "run": run.id, **_payload(error)})
            raise
    finally:
        if claim is not None:
            _release(claim)


def _task(
    run: Run,
    pack: LoadedPack,
    store: Store,
    site: Site,
    claim: Claim | None,
    world: "World",
    stop: "StopSignal",
) -> None:
    from hpc_xfer.tasks.context import RunContext

    context = RunContext(run, store, site, claim, pack.resources, world, stop)
    match run.kind:
        case "pretrain":
            from hpc_xfer.tasks import pretrain

            pretrain.run(context)
        case "finetune":
            from hpc_xfer.tasks import finetune

            finetune.run(context)


def _release(claim: Claim) -> None:
    try:
        claim.release()
    except StoreError as error:  # a full disk; others will see that this process is gone
        log.warning("%s", error)


def _write_error(store: Store, run: Run, error: Exception) -> dict[str, Any]:
    """error.json, as good as the disk allows; returns what the launcher is told."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    told = _payload(error)
    try:
        failures.write(store.run(run.id), told["class"], told["message"], lines)
    except StoreError as full:
        log.warning("%s", full)
    return told


def _payload(error: BaseException) -> dict[str, Any]:
    return {"class": classify(error), "message": str(error) or type(error).__name__}


def classify(error: BaseException) -> str:
    """The kind of failure, which decides what helps: other data, more memory, a mended program."""
    if isinstance(error, Diverged):
        return "nan"
    if isinstance(error, DataError):
        return "data"
    if isinstance(error, StoreError) or _is_of_the_disk(error):
        return "store"
    if isinstance(error, MemoryError) or _is_of_a_lost_loader(error):
        return "out of memory"
    if type(error).__name__ == "OutOfMemoryError":
        return "CUDA out of memory"
    return "killed" if _is_of_a_lost_rank(error) else "code"


_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE)


def _is_of_the_disk(error: BaseException | None) -> bool:
    """What a full or failing disk does to libraries that write, such as TensorBoard's threads."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_of_a_lost_rank(error: BaseException) -> bool:
    """What NCCL and gloo say when another rank has gone away in the middle of a step."""
    if type(error).__name__ in ("DistBackendError", "DistNetworkError", "DistStoreError"):
        return True
    return isinstance(error, RuntimeError) and "/gloo/" in str(error)


def _is_of_a_lost_loader(error: BaseException) -> bool:
    """What DataLoader says, from a signal handler, wherever we are; see training/loading.py."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    faulthandler.enable()  # a crash, and SIGABRT when it hangs, leaves every thread's stack
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.captureWarnings(True)
    store, site = Store(Path(args.store)), load_site(Path(args.site) if args.site else None)
    from hpc_xfer.training.stop import StopSignal

    stop = StopSignal().on(signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    place = ProcessRank(args.rank, args.world, args.local_rank, args.attempt)
    try:
        return _serve(args, store, site, place, stop)
    finally:
        if place.size > 1:
            _leave_others()


def _serve(
    args: argparse.Namespace, store: Store, site: Site, place: ProcessRank, stop: "StopSignal"
) -> int:
    packs = iter([args.pack]) if args.pack else _from_stdin(stop)
    failed = False

    def emit(event: dict[str, Any]) -> None:
        nonlocal failed
        failed |= event["event"] == "failed"
        if place.rank == 0 or event["event"] in ("failed", "pack"):
            print(json.dumps(event), flush=True)

    for pack_id in packs:
        try:
            pack = read_pack(store, args.study, pack_id).without(args.skip)
            execute(pack, store, site, place, stop, emit)
        except XferError as error:
            log.error("%s", error)
            emit({"event": "failed", "run": None, "class": classify(error), "message": str(error)})
        emit({"event": "pack", "pack": pack_id})
        if stop.requested:
            break
    return 1 if failed and args.pack else 0


def _leave_others() -> None:
    """End at once where an error left the group open, so that the other ranks see us die.

    All is told and written by now; what Python and torch do at their end could wait for the others.
    """
    from hpc_xfer.training import distributed

    if distributed.is_open():
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1)


def _from_stdin(stop: "StopSignal") -> Iterator[str]:
    """Pack ids until the launcher closes the pipe; its death also stops a run in progress."""
    import queue

    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line.strip())
        lines.put(None)
        if os.getppid() != parent:  # an orphan: save what is there and go
            stop.request()

    parent = os.getppid()
    threading.Thread(target=read, daemon=True).start()
    while (line := lines.get()) is not None:
        yield line


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "worker",
        "Execute packs of runs. Launchers start it; so can you, to look at one pack closely.",
        "python -m hpc_xfer.worker --store runs --study demo --pack c0ffee12ab34/0",
    )
    parser.add_argument("--store", required=True, help="the store")
    parser.add_argument("--study", required=True, help="name of the study that wrote the packs")
    parser.add_argument("--site", help="site file")
    parser.add_argument(
        "--pack", metavar="BATCH/INDEX", help="one; without it, they are read from stdin"
    )
    parser.add_argument("--skip", metavar="RUN", action="append", default=[], help="leave it out")
    parser.add_argument("--rank", type=int, default=0, help="of this process (default: 0)")
    parser.add_argument("--world", type=int, default=1, help="number of processes (default: 1)")
    parser.add_argument("--local-rank", type=int, default=0, help="rank on this node (default: 0)")
    parser.add_argument("--attempt", default="0", help="the same for all ranks of one start")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.exit_with(main)
