"""The cluster of a simulation: GPUs, limits and latencies."""

from dataclasses import dataclass

from hpc_xfer.study.costs.ranges import NOTHING, Range

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
