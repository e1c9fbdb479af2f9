"""Say before a launch what a plan asks of loaders, memory and storage."""

from collections.abc import Iterator

from hpc_xfer.config.site import Slurm
from hpc_xfer.study.loader_memory import loading_notes
from hpc_xfer.study.loading_speed import speed_notes
from hpc_xfer.study.memory_estimate import memory_warnings
from hpc_xfer.study.plan import Plan


def resource_notes(todo: Plan, slurm: Slurm, on: str) -> Iterator[str]:
    """Yield a sentence for each thing to know.

    Args:
        todo: the runs that are not done.
        on: `slurm` or `local`.
    """
    yield from loading_notes(todo, slurm) if on == "slurm" else ()
    yield from (f"warning: {line}" for line in memory_warnings(todo, slurm))
    teraflops = slurm.teraflops if on == "slurm" else None
    yield from (f"slow: {line}" for line in speed_notes(todo, teraflops))
