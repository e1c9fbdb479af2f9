"""Execute the runs of a pack, one after another, on every rank of it."""

import errno
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.group_commit import GroupCommit
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.site import Site
from hpc_xfer.errors import (
    ClaimLost,
    DataError,
    Diverged,
    Interrupted,
    SharedMemoryFull,
    StoreError,
)
from hpc_xfer.store import failures
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.leases import removed
from hpc_xfer.store.ownership.run_claims import Claim
from hpc_xfer.store.pack_file import LoadedPack
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.worker_events import WorkerEvent

if TYPE_CHECKING:  # imported for a run: a package that fails to import is an error of that run
    from hpc_xfer.compute.distributed.process_group import World
    from hpc_xfer.compute.finetuning.cache import FinetuneCache
    from hpc_xfer.compute.run_context import RunResources

log = logging.getLogger("hpc_xfer.worker")
Emit = Callable[[WorkerEvent], None]


@dataclass(frozen=True)
class PackRunner:
    """Execute packs as one rank; a worker has one runner, so its packs share what is in memory.

    Rank 0 claims runs, writes files and reports events. The other ranks only report their own
    failures, to the supervisor on their node.
    """

    store: Store
    site: Site
    process: ProcessRank
    stop: StopSignal
    emit: Emit

    @cached_property
    def cache(self) -> "FinetuneCache":
        """The memory that the fine-tunings of this process share."""
        from hpc_xfer.compute.downstream.decoded_cache import CachePlaces
        from hpc_xfer.compute.finetuning.cache import FinetuneCache

        return FinetuneCache(CachePlaces.of(self.store, self.site))

    @cached_property
    def group(self) -> GroupCommit:
        """The small runs that are computed and not yet on disk."""
        return GroupCommit()

    def execute(self, pack: LoadedPack) -> None:
        """Execute all runs of a pack. A failed run does not end it; a request to stop does."""
        assert self.process.size == 1 or len(pack.runs) <= 1, "a group ends after an error"
        torch.backends.cudnn.allow_tf32 = False  # torch's default rounds fp32 convolutions to TF32
        if not torch.cuda.is_available():
            torch.set_num_threads(pack.resources.threads)
        before: Run | None = None
        for run in self._in_turn(pack):
            if self.group.is_due or (before and _kind_of_work(run) != _kind_of_work(before)):
                self._commit()  # the next run may take hours
            if self.stop.requested:
                self._commit()
                self.emit(WorkerEvent("interrupted", run.id))
                return
            self._execute_run(run, pack.resources)
            before = run
        self._commit()

    def _in_turn(self, pack: LoadedPack) -> Iterator[Run]:
        yield from pack.runs
        for run in pack.spare:
            if failures.read(self.store.run(run.id)) is None:  # else it would fail here too
                yield run

    def _execute_run(self, run: Run, resources: "RunResources") -> None:
        rank, folder = self.process.rank, self.store.run(run.id)
        meeting = folder.rendezvous(self.process.attempt)
        claim = self._claim(run, meeting) if rank == 0 else None
        if rank == 0 and claim is None:
            return
        try:
            if rank == 0:
                self.store.check_run(run)
                self.store.write_recipe(run)
            local, size = self.process.local_rank, self.process.size
            with process_group.join(rank, size, local, meeting, self.stop) as world:
                self._run_task(run, claim, resources, world)
            if run.id not in self.group:
                self.emit(WorkerEvent("done", run.id))
        except Interrupted:
            self.emit(WorkerEvent("interrupted", run.id))
        except Exception as raised:  # reported with its traceback; the next run is executed
            self.group.drop(run.id)
            error = _cause(raised, claim, folder)
            if isinstance(error, ClaimLost):
                self._lose(run.id, error)
                return
            log.exception("run %s failed", run.id)
            if rank == 0:
                _write_error(self.store, run.id, error)
            if rank == 0 or self.process.size > 1:
                self.emit(failed_event(run.id, error))
            if rank > 0:
                raise
        finally:
            if claim is not None and run.id not in self.group:
                _release(claim)

    def _commit(self) -> None:
        """Put the results of the group on disk, and report them."""
        for run_id, claim, outcome in self.group.commit():
            if outcome is None:
                self.emit(WorkerEvent("done", run_id))
            elif isinstance(outcome, ClaimLost):
                self._lose(run_id, outcome)
            else:
                log.error("run %s failed: %s", run_id, outcome)
                _write_error(self.store, run_id, outcome)
                self.emit(failed_event(run_id, outcome))
            _release(claim)

    def _lose(self, run_id: str, error: ClaimLost) -> None:
        log.warning("%s", error)
        by = run_claims.holder(self.store.run(run_id))
        self.emit(WorkerEvent("held", run_id, by=by))

    def _run_task(
        self, run: Run, claim: Claim | None, resources: "RunResources", world: "World"
    ) -> None:
        from hpc_xfer.compute.run_context import RunContext

        context = RunContext(
            run, self.store, self.site, claim, resources, world, self.stop, self.cache,
            self.group if world.size == 1 else None,
        )  # fmt: skip
        if run.kind == "pretrain":
            from hpc_xfer.compute.pretraining.task import pretrain

            pretrain(context)
        else:
            from hpc_xfer.compute.finetuning.task import finetune

            finetune(context)

    def _claim(self, run: Run, meeting: Path) -> Claim | None:
        """Claim a run. If it is done or claimed by another, tell the other ranks; return None."""
        folder = self.store.run(run.id)
        # In this order: a process that sees no claim then also sees the record written before.
        held = run_claims.is_alive(folder)
        done = not held and self.store.is_done(run)
        claim = None if held or done else run_claims.take(folder)
        if claim is not None:
            self.emit(WorkerEvent("started", run.id))
            return claim
        process_group.call_off(meeting, self.process.size)
        if done:
            folder.remove_checkpoints()  # the owner may have been killed before it did
            self.emit(WorkerEvent("done", run.id))
        else:
            self.emit(WorkerEvent("held", run.id, by=run_claims.holder(folder)))
        return None


def _release(claim: Claim) -> None:
    try:
        claim.release()
    except StoreError as error:  # a full disk; others will notice that this process has ended
        log.warning("%s", error)


def _cause(error: Exception, claim: Claim | None, folder: RunDir) -> Exception:
    """Return what is behind an error: another process took the run, or its folder was removed.

    What then raises depends on where the run was: torch, TensorBoard, any reading or writing.
    """
    if isinstance(error, ClaimLost):
        return error
    try:
        if claim is not None:
            claim.check()
        elif not folder.claims.exists():  # on other ranks
            raise removed(folder.path)
    except (ClaimLost, StoreError) as cause:
        cause.__cause__ = error
        return cause
    return error


def _kind_of_work(run: Run) -> tuple[object, ...]:
    """Runs of one kind take about as long."""
    recipe = run.recipe
    return (recipe.mode, recipe.shots) if isinstance(recipe, Finetune) else ("pretrain",)


def _write_error(store: Store, run_id: str, error: Exception) -> None:
    """Write error.json, unless the disk is full or the store is gone."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    event = failed_event(run_id, error)
    try:
        store.check_exists()
        failures.write(store.run(run_id), event.failure, event.message, lines)
    except StoreError as full:
        log.warning("%s", full)


def failed_event(run: str | None, error: BaseException) -> WorkerEvent:
    """The event of a failed run; of the whole pack, if `run` is None."""
    message = str(error) or type(error).__name__
    return WorkerEvent("failed", run, failure=classify(error), message=message)


def classify(error: BaseException) -> str:
    """The class of a failure, which decides what helps: other data, more memory, fixed code."""
    if isinstance(error, Diverged):
        return "nan"
    if isinstance(error, DataError):
        return "data"
    if isinstance(error, SharedMemoryFull):  # before the disk: its cause says "no space left"
        return "shared memory"
    if isinstance(error, StoreError) or _is_disk_failure(error):
        return "store"
    if isinstance(error, MemoryError) or _is_lost_loader(error):
        return "out of memory"
    if isinstance(error, torch.OutOfMemoryError):
        return "CUDA out of memory"
    return "killed" if _is_lost_rank(error) else "code"


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE)
_RANK_ERRORS = (dist.DistBackendError, dist.DistNetworkError, dist.DistStoreError)


def _is_disk_failure(error: BaseException | None) -> bool:
    """Look for a full or failing disk, also behind the errors of libraries such as TensorBoard."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_lost_rank(error: BaseException) -> bool:
    """Recognize what NCCL and gloo raise when another rank ends in the middle of a step."""
    if isinstance(error, _RANK_ERRORS):
        return True
    return isinstance(error, RuntimeError) and "/gloo/" in str(error)


def _is_lost_loader(error: BaseException) -> bool:
    """Recognize what DataLoader's signal handler raises anywhere; see training/data_loader.py."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")
