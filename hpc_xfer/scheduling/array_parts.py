"""Cut the runs to submit into job arrays that Slurm takes, each with its memory and time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store import failures, retry_policy
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study.job_arrays import JobArray, cut_into_arrays
from hpc_xfer.study.plan import Pack, Plan


@dataclass(frozen=True)
class ArrayPart:
    """Packs for one call of sbatch."""

    array: JobArray
    memory_per_gpu: float | None = None  # GB; None: the site's
    minutes_factor: int = 1

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

    A pack with a run that failed for want of memory or time gets more than the others of its array.
    """

    def extra_of(pack: Pack) -> tuple[float | None, int]:
        ended = [run for run in pack.runs if statuses[run.id].state in ("failed", "lost")]
        past = [failures.history(failures.read(launched.store.run(run.id))) for run in ended]
        times = max(map(retry_policy.memory_failures, past), default=0)
        factor = max(map(retry_policy.minutes_factor, past), default=1)
        return retry_policy.memory_per_gpu(times, launched.site.slurm), factor

    for array in cut_into_arrays(todo):
        by_extra: dict[tuple[float | None, int], list[Pack]] = {}
        for pack in array.packs:
            by_extra.setdefault(extra_of(pack), []).append(pack)
        for (memory, factor), packs in by_extra.items():
            for part in JobArray(tuple(packs)).parts(size):
                yield ArrayPart(part, memory, factor)
