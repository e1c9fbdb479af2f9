"""Cut the runs to submit into job arrays that Slurm takes, each with the memory it needs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hpc_xfer.scheduling.run_states import RunStatus
from hpc_xfer.scheduling.runs_to_submit import memory_failures
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.retry_policy import memory_per_gpu
from hpc_xfer.study.job_arrays import JobArray, cut_into_arrays
from hpc_xfer.study.plan import Pack, Plan


@dataclass(frozen=True)
class ArrayPart:
    """Packs for one call of sbatch."""

    array: JobArray
    memory_per_gpu: float | None = None  # GB; None: the site's

    @property
    def run_count(self) -> int:
        return sum(len(pack.runs) for pack in self.array.packs)

    def split(self, packs: int) -> tuple["ArrayPart", "ArrayPart"]:
        """The first packs, and the rest."""
        first, rest = self.array.packs[:packs], self.array.packs[packs:]
        return replace(self, array=JobArray(first)), replace(self, array=JobArray(rest))


def array_parts(
    launched: LaunchedStudy, todo: Plan, statuses: Mapping[str, RunStatus], size: int
) -> Iterator[ArrayPart]:
    """Parts of at most `size` packs, parents first.

    A pack with a run that failed for want of memory gets more than the others of its array.
    """

    def memory_of(pack: Pack) -> float | None:
        ended = [run for run in pack.runs if statuses[run.id].state in ("failed", "lost")]
        times = max((memory_failures(launched.store.run(run.id)) for run in ended), default=0)
        return memory_per_gpu(times, launched.site.slurm)

    for array in cut_into_arrays(todo):
        by_memory: dict[float | None, list[Pack]] = {}
        for pack in array.packs:
            by_memory.setdefault(memory_of(pack), []).append(pack)
        for memory, packs in by_memory.items():
            for part in JobArray(tuple(packs)).parts(size):
                yield ArrayPart(part, memory)
