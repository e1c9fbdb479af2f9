"""Find the time limit of a partition, where minutes are estimated and the site gives no limit.

    site = with_time_limit(site)      # max_minutes is a number, or the partition has no limit

sbatch refuses a job that asks for more. A pre-training that needs longer is requeued and goes on.
"""

import re
from collections.abc import Iterator

from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.config.site import Site
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.commands import ask_optional

_LIMITS = ["sinfo", "--noheader", "--format=%P|%l"]
_MINUTES_OF = (1440, 60, 1, 1 / 60)  # a day, an hour, a minute, a second
_LEAST = 5  # a shorter one leaves no time to save


def with_time_limit(site: Site, pretrain: PretrainResources) -> Site:
    """Return the site with `max_minutes` filled in, if the minutes of pre-trainings are estimated.

    Unchanged where Slurm tells nothing.
    """
    slurm = site.slurm
    if slurm.max_minutes is not None or pretrain.minutes is not None:
        return site
    told = ask_optional(_LIMITS, cluster_of(slurm))
    minutes = min(_limits(told or "", slurm.partition), default=None)
    if minutes is None or minutes < _LEAST:
        return site
    limited = slurm.model_copy(update={"max_minutes": minutes})
    return site.model_copy(update={"slurm": limited})


def _limits(told: str, partition: str | None) -> Iterator[int]:
    """Yield the minutes of the partitions of the site, or of the default one."""
    wanted = partition.split(",") if partition else None
    for line in told.splitlines():
        name, _, limit = line.partition("|")
        is_ours = name.endswith("*") if wanted is None else name.rstrip("*") in wanted
        minutes = _minutes(limit.strip()) if is_ours else None
        if minutes is not None:
            yield minutes


def _minutes(limit: str) -> int | None:
    """Read `2-00:00:00`, `12:00:00` or `30:00`; None for `infinite`."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if found is None:
        return None
    parts = (float(part or 0) for part in found.groups())
    return int(sum(part * unit for part, unit in zip(parts, _MINUTES_OF, strict=True)))
