"""The cluster of a simulation: GPUs, limits and latencies."""

from dataclasses import dataclass, replace

from hpc_xfer.config.site import Slurm
from hpc_xfer.study.costs.ranges import NOTHING, Range
from hpc_xfer.system.terminal import counted

_SCHEDULER = Range(0.0, 30.0)  # sched_interval and bf_interval are 30 to 60 s by default
_RELAY = Range(20.0, 120.0)


@dataclass(frozen=True)
class SimulatedCluster:
    """What a study gets of a cluster. Each range is drawn from anew, by the seed."""

    gpus: int
    scheduler_seconds: Range = _SCHEDULER  # from "could start" to "starts"
    start_seconds: Range = NOTHING  # of a job, before its first run works
    end_seconds: Range = NOTHING  # from the last run's record to the end of the job
    requeue_seconds: float = 120.0  # that Slurm holds a requeued job: cred_expire
    queue_wait: Range = NOTHING  # seconds behind jobs of others, each time
    preempt_per_day: float = 0.0  # how often a job that runs is preempted
    relay_seconds: Range = _RELAY  # of the relay job: it submits, collects, reports
    array_size: int = 1001  # elements of an array at most
    most_jobs: int | None = None  # elements in the queue at most
    signal_seconds: float = 120.0  # before its time limit a job is told to save
    seed: int = 0


def limited_by(cluster: SimulatedCluster, slurm: Slurm) -> SimulatedCluster:
    """Return the cluster with the limits of the site file, where those are lower."""
    jobs = [most for most in (cluster.most_jobs, slurm.max_jobs) if most is not None]
    size = min(cluster.array_size, slurm.max_array or cluster.array_size)
    return replace(cluster, array_size=size, most_jobs=min(jobs, default=None))


def limits_sentence(cluster: SimulatedCluster, slurm: Slurm, is_told: bool) -> str:
    """Say which limits the simulation keeps, and whose they are.

    Args:
        is_told: Slurm told those of the cluster.
    """
    kept = limited_by(cluster, slurm)
    jobs = "no limit of jobs in the queue"
    if kept.most_jobs is not None:
        jobs = f"{counted(kept.most_jobs, 'job')} in the queue"
    whose = "asked of Slurm" if is_told else "assumed, as no Slurm answers here"
    if slurm.max_array is not None or slurm.max_jobs is not None:
        whose = f"the lower of the site file's and those {whose}"
    limit = "no time limit of the partition"
    if slurm.max_minutes is not None:
        limit = f"at most {counted(slurm.max_minutes, 'minute')} for a job"
    return f"the times rest on arrays of {kept.array_size:,}, {jobs} and {limit} ({whose})"
