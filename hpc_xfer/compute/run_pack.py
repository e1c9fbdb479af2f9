"""Execute the runs of a pack, one after another, on every rank of it."""

import errno
import logging
import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from hpc_xfer.config.site import Site
from hpc_xfer.errors import ClaimLost, DataError, Diverged, Interrupted, StoreError
from hpc_xfer.store import failures, run_claims
from hpc_xfer.store.pack_file import LoadedPack
from hpc_xfer.store.run_claims import Claim
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.worker_events import WorkerEvent

if TYPE_CHECKING:
    from hpc_xfer.compute.distributed.process_group import World
    from hpc_xfer.compute.distributed.stop_signal import StopSignal

log = logging.getLogger("hpc_xfer.worker")
Emit = Callable[[WorkerEvent], None]


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
            emit(WorkerEvent("interrupted", run.id))
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
    from hpc_xfer.compute.distributed import process_group

    claim = None
    folder = store.run(run.id)
    meeting = folder.rendezvous(place.attempt)
    if place.rank == 0:
        # In this order: whoever sees a claim given back then sees the record written before that.
        held = run_claims.is_alive(folder)
        if not held and store.is_done(run):
            process_group.call_off(meeting, place.size)
            folder.remove_checkpoints()  # the owner may have been killed before it could
            emit(WorkerEvent("done", run.id))
            return
        claim = None if held else run_claims.take(folder)
        if claim is None:
            process_group.call_off(meeting, place.size)
            emit(WorkerEvent("held", run.id, by=run_claims.holder(folder)))
            return
        emit(WorkerEvent("started", run.id))
    try:
        if place.rank == 0:
            store.write_recipe(run)
        with process_group.join(place.rank, place.size, place.local_rank, meeting, stop) as world:
            _task(run, pack, store, site, claim, world, stop)
        emit(WorkerEvent("done", run.id))
    except Interrupted:
        emit(WorkerEvent("interrupted", run.id))
    except ClaimLost as error:
        log.warning("%s", error)
        emit(WorkerEvent("held", run.id, by=run_claims.holder(folder)))
    except Exception as error:  # reported with its trace; the next run of the pack gets its chance
        log.exception("run %s failed", run.id)
        if place.rank == 0:
            emit(_write_error(store, run, error))
        elif place.size > 1:
            emit(failed_event(run.id, error))
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
    from hpc_xfer.compute.run_context import RunContext

    context = RunContext(run, store, site, claim, pack.resources, world, stop)
    match run.kind:
        case "pretrain":
            from hpc_xfer.compute.pretraining.task import pretrain

            pretrain(context)
        case "finetune":
            from hpc_xfer.compute.finetuning.task import finetune

            finetune(context)


def _release(claim: Claim) -> None:
    try:
        claim.release()
    except StoreError as error:  # a full disk; others will see that this process is gone
        log.warning("%s", error)


def _write_error(store: Store, run: Run, error: Exception) -> WorkerEvent:
    """Write error.json, as good as the disk allows; return what the launcher is told."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    event = failed_event(run.id, error)
    try:
        failures.write(store.run(run.id), event.failure, event.message, lines)
    except StoreError as full:
        log.warning("%s", full)
    return event


def failed_event(run: str | None, error: BaseException) -> WorkerEvent:
    """Return the event of a run that failed; None where the whole pack did."""
    message = str(error) or type(error).__name__
    return WorkerEvent("failed", run, failure=classify(error), message=message)


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
