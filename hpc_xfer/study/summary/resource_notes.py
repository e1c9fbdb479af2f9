"""Say before a launch what a plan asks of loaders, memory, storage and time."""

from collections.abc import Iterator

from hpc_xfer.config.site import Slurm
from hpc_xfer.study.costs.stages import FinishedTimes
from hpc_xfer.study.loader_memory import loading_notes
from hpc_xfer.study.loading_speed import speed_notes
from hpc_xfer.study.memory_estimate import memory_warnings
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.summary.given_minutes import given_minutes_notes


def resource_notes(
    todo: Plan, slurm: Slurm, on: str, finished: FinishedTimes | None = None
) -> Iterator[str]:
    """Yield a sentence for each thing to know.

    Args:
        todo: the runs that are not done.
        on: `slurm` or `local`.
        finished: what finished runs of the study took.
    """
    yield from loading_notes(todo, slurm) if on == "slurm" else ()
    yield from (f"warning: {line}" for line in memory_warnings(todo, slurm))
    if on == "slurm":  # nothing else has a time limit
        yield from (f"short: {line}" for line in given_minutes_notes(todo, slurm, finished))
    teraflops = slurm.teraflops if on == "slurm" else None
    yield from (f"slow: {line}" for line in speed_notes(todo, teraflops))
