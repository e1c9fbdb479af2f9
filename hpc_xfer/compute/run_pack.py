"""Execute the runs of a pack, one after another, on every rank of it."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hpc_xfer.compute.distributed import process_group
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.failure_classes import classify, spends_process
from hpc_xfer.compute.group_commit import GroupCommit
from hpc_xfer.compute.release_memory import release
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.site import Site
from hpc_xfer.errors import ClaimLost, GpuMissing, Interrupted, StoreError
from hpc_xfer.store import failures
from hpc_xfer.store.finished.working_files import remove_working_files
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
    from hpc_xfer.compute.run_context import RunContext, RunResources

log = logging.getLogger("hpc_xfer.worker")
_KEEPS_MEMORY = ("nan", "data", "store")  # classes that say nothing against what is in memory
Emit = Callable[[WorkerEvent], None]


class ProcessSpent(Exception):
    """This process can use its GPU no more; the failure of its run is reported."""


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
        """Execute all runs of a pack. A failed run does not end it; a request to stop does.

        Raises:
            ProcessSpent: a fresh process has to execute the other runs.
        """
        assert self.process.size == 1 or len(pack.runs) <= 1, "a group ends after an error"
        torch.backends.cudnn.allow_tf32 = False  # torch's default rounds fp32 convolutions to TF32
        # Beside a GPU too: small probes are solved on the CPU. With torch's default, a thread for
        # each core, four workers on 16 cores took minutes for a probe of a second: idle ones spin.
        torch.set_num_threads(pack.resources.threads)
        self._report_unread(pack)
        before: Run | None = None
        for run in _in_turn(self.store, pack):
            if self.group.is_due or (before and _kind_of_work(run) != _kind_of_work(before)):
                self._commit()  # the next run may take hours
            if self.stop.requested:
                self._commit()
                self.emit(WorkerEvent("interrupted", run.id))
                return
            try:
                self._execute_run(run, pack.resources)
            except ProcessSpent:
                self._commit()
                raise
            before = run
        self._commit()

    def _execute_run(self, run: Run, resources: "RunResources") -> None:
        rank, size, folder = self.process.rank, self.process.size, self.store.run(run.id)
        meeting, is_done = folder.rendezvous(self.process.attempt), False
        try:
            claim = _claim(self.store, run, meeting, size, self.emit) if rank == 0 else None
        except Exception as raised:  # recorded for its run, as far as the store allows
            self._report(run.id, raised)
            return
        if rank == 0 and claim is None:
            return
        try:
            if rank == 0:
                self.store.check_run(run)
                self.store.write_recipe(run)
            local, timeout = self.process.local_rank, _timeout(self.site)
            with process_group.join(rank, size, local, meeting, self.stop, timeout) as world:
                self._run_task(run, claim, resources, world)
            is_done = True
            if run.id not in self.group:
                self.emit(WorkerEvent("done", run.id))
        except Interrupted:
            self.emit(WorkerEvent("interrupted", run.id))
        except Exception as raised:  # reported with its traceback; the next run is executed
            error = _cause(raised, claim, folder)
            self._report(run.id, error)
            if spends_process(error):
                raise ProcessSpent from error
            if rank > 0 and not isinstance(error, ClaimLost):
                raise
            self._release(error)
        finally:
            if claim is not None and run.id not in self.group:
                _release(claim, folder if is_done else None)

    def _report_unread(self, pack: LoadedPack) -> None:
        """Record runs whose recipes cannot be read as failed, but those that are done."""
        for each in pack.unread:
            if self.store.record(each.id) is None:
                self._report(each.id, each.error)

    def _report(self, run_id: str, error: Exception) -> None:
        """Write and report why a run failed."""
        self.group.drop(run_id)
        if isinstance(error, ClaimLost):
            self._lose(run_id, error)
            return
        # As text: a handler that keeps the error would keep its model.
        log.error("run %s failed\n%s", run_id, "".join(traceback.format_exception(error)))
        if self.process.rank == 0:
            _write_error(self.store, run_id, error)
        if self.process.rank == 0 or self.process.size > 1:
            self.emit(failed_event(run_id, error))

    def _release(self, error: Exception) -> None:
        """Give back what a failed run holds, on the GPU above all, before the next one."""
        if self.process.size > 1:
            return  # the process ends; to free memory would wait for ranks that wait for us
        if classify(error) not in _KEEPS_MEMORY:
            self.__dict__.pop("cache", None)  # it may have moved encoders to the GPU
        release(error)

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
            _release(claim, self.store.run(run_id) if outcome is None else None)

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
        _perform(context)


def _claim(store: Store, run: Run, meeting: Path, size: int, emit: Emit) -> Claim | None:
    """Claim a run. If it is done or claimed by another, tell the other ranks; return None."""
    folder = store.run(run.id)
    folder.check_is_no_link()
    # In this order: a process that sees no claim then also sees the record written before.
    held = run_claims.is_alive(folder)
    done = not held and store.is_done(run)
    claim = None if held or done else run_claims.take(folder)
    if claim is not None and store.is_done(run):  # between the two looks, and its claims are gone
        _release(claim, folder)
        claim, done = None, True
    if claim is not None:
        emit(WorkerEvent("started", run.id))
        return claim
    process_group.call_off(meeting, size)
    if done:
        with suppress(StoreError):  # of another user
            remove_working_files(folder)  # the owner may have been killed before it did
        emit(WorkerEvent("done", run.id))
    else:
        emit(WorkerEvent("held", run.id, by=run_claims.holder(folder)))
    return None


def _in_turn(store: Store, pack: LoadedPack) -> Iterator[Run]:
    yield from pack.runs
    for run in pack.spare:
        if failures.read(store.run(run.id)) is None:  # else it would fail here too
            yield run


def _perform(context: "RunContext") -> None:
    if context.run.kind == "pretrain":
        from hpc_xfer.compute.pretraining.task import pretrain

        pretrain(context)
    else:
        from hpc_xfer.compute.finetuning.task import finetune

        finetune(context)


def _timeout(site: Site) -> timedelta:
    """A minute more than a supervisor waits, who also writes the stacks of a hung process."""
    minutes = timedelta(minutes=site.slurm.hang_minutes)
    return max(minutes, process_group.TIMEOUT) + timedelta(minutes=1)


def _release(claim: Claim, done: RunDir | None) -> None:
    """Free a run for others; of one that is done, remove what only the work on it needed."""
    try:
        if done is not None:
            remove_working_files(done)
        if claim.path.exists():
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
        elif not folder.claims.exists() and not folder.record.exists():  # on other ranks
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
    node = error.node if isinstance(error, GpuMissing) else None  # maybe that of another rank
    if event.failure == "killed":  # a rank was lost: the supervisor of its node knows which
        node = ""
    try:
        store.check_exists()
        if event.failure == "killed" and failures.of_last_start(store.run(run_id)) is not None:
            return  # the rank that we lost has told why, and on which node
        failures.write(store.run(run_id), event.failure, event.message, lines, node=node)
    except StoreError as full:
        log.warning("%s", full)


def failed_event(run: str | None, error: BaseException) -> WorkerEvent:
    """The event of a failed run; of the whole pack, if `run` is None."""
    message = str(error) or type(error).__name__
    return WorkerEvent("failed", run, failure=classify(error), message=message)
