"""The simulation of a schedule and a real Slurm come to about the same finishing time."""

from datetime import datetime
from pathlib import Path

import pytest

from hpc_xfer.study.costs.ranges import Range, exactly
from hpc_xfer.study.costs.stages import ArrayCost
from hpc_xfer.study.job_arrays import cut_into_arrays
from hpc_xfer.study.schedule.array_jobs import arrays_to_simulate
from hpc_xfer.study.schedule.cluster import SimulatedCluster
from hpc_xfer.study.schedule.simulation import simulate
from tests.cluster import Cluster
from tests.faults import SlurmStudy

pytestmark = pytest.mark.slow

_WHOLE_NODE = {"cpus_per_gpu": 16}  # a job takes all CPUs that a node has for Slurm


class Jobs:
    """Jobs of a store that ended: when Slurm got, started and ended them, in seconds."""

    def __init__(self, cluster: Cluster, tag: str) -> None:
        told = cluster.run("squeue", "-h", "-r", "-t", "all", "-o", "%j|%V|%S|%e")
        # The cluster still shows jobs of earlier tests.
        self.rows = [line.split("|") for line in told.splitlines() if f"{tag}." in line]

    def of(self, kind: str) -> list[tuple[float, float, float]]:
        """Submission, start and end of the jobs whose name begins with this word."""
        found = [times for name, *times in self.rows if name.startswith(kind)]
        return sorted((_seconds(a), _seconds(b), _seconds(c)) for a, b, c in found)


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _low(seconds: Range) -> float:
    return seconds.low


def test_the_simulated_finishing_time_is_that_of_slurm(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    """A pre-training, then three packs on two nodes, then the relay.

    The simulation gets what was measured: seconds of each job, the pause before a child. What it
    must know is the rest: who waits for whom, and for what.
    """
    cluster.drain("n3", "n4")
    study = SlurmStudy(tmp_path, shards, draws=3, target=2, steps=96, slurm=_WHOLE_NODE)
    study.launch()
    study.ends(cluster)
    jobs, plan = Jobs(cluster, study.store.tag), study.plan
    (pretraining,), packs, (relay,) = jobs.of("pre"), jobs.of("ft"), jobs.of("relay")
    real = relay[2] - pretraining[0]

    arrays = cut_into_arrays(plan)
    assert [len(array.packs) for array in arrays] == [1, 3] and len(packs) == 3
    elapsed = [[end - start for _, start, end in each] for each in ([pretraining], packs)]
    costs = [
        ArrayCost(array, tuple(map(exactly, seconds)), exactly(0.0), 0)
        for array, seconds in zip(arrays, elapsed, strict=True)
    ]
    pause = exactly(max(0.0, packs[0][1] - pretraining[2]))
    measured = SimulatedCluster(2, pause, relay_seconds=exactly(relay[2] - relay[1]))
    line = simulate(arrays_to_simulate(costs, [plan], _low), measured)
    print(f"finished after {real:.0f} s on Slurm, {line.finished:.1f} s in the simulation")
    assert line.finished == pytest.approx(real, rel=0.2)
