"""The context of a task: its run, claim, resources, ranks, and what its process shares."""

from dataclasses import dataclass

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.finetuning.cache import FinetuneCache
from hpc_xfer.compute.group_commit import GroupCommit
from hpc_xfer.compute.training.loop import LoopOptions
from hpc_xfer.config.resources import FinetuneResources, PretrainResources
from hpc_xfer.config.site import Site
from hpc_xfer.store.ownership.run_claims import Claim
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.limits.process_share import loading_processes, own_cores

RunResources = PretrainResources | FinetuneResources


@dataclass(frozen=True)
class RunContext:
    """All that a task gets from the worker."""

    run: Run
    store: Store
    site: Site
    claim: Claim | None  # rank 0 holds it
    resources: RunResources
    world: World
    stop: StopSignal
    cache: FinetuneCache  # of the process
    group: GroupCommit | None = None  # takes the results of small runs; None: each is written alone

    @property
    def dir(self) -> RunDir:
        return self.store.run(self.run.id)

    @property
    def workers(self) -> int:
        """Loading processes: those of the resources, else as many as the cores of the process."""
        if self.resources.workers is not None:
            return self.resources.workers
        cores = own_cores(shares_place=self.run.kind == "finetune")
        has_gpu = self.world.device.type == "cuda"
        return loading_processes(cores, has_gpu, self.resources.threads)

    @property
    def loop_options(self) -> LoopOptions:
        return LoopOptions(
            checkpoint_seconds=60 * self.resources.checkpoint_minutes,
            log_steps=self.resources.log_steps,
            workers=self.workers,
            compiled=self.resources.compile,
            recomputed=self.resources.activation_checkpointing,
            fixed_sizes=self.run.kind == "pretrain",
            tensorboard=self.run.kind == "pretrain",
        )
