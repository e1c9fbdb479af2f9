"""Look at a store: what it takes, what of it is in use, and what may go."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.config.site import Slurm
from hpc_xfer.disk_usage.entries import Size, total
from hpc_xfer.disk_usage.in_use import InUse, in_use
from hpc_xfer.disk_usage.measured_store import MeasuredStore, measure
from hpc_xfer.disk_usage.removable import Removable, removable
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.store import Store


@dataclass(frozen=True)
class StoreUsage:
    """A store at one moment."""

    measured: MeasuredStore
    used: InUse
    may_go: list[Removable]

    @property
    def to_clean(self) -> Size:
        """The size that `clean` would free."""
        return total(each.size for each in self.may_go if not each.kept)

    def as_json(self) -> dict[str, Any]:
        return {
            "store": str(self.measured.store.root),
            **self.measured.total.as_json(),
            "kinds": {kind: size.as_json() for kind, size in self.measured.kinds.items()},
            "runs": len(self.measured.runs),
            "in_use": {
                "submissions": self.used.submissions, "runs": len(self.used.runs),
                "codes": sorted(self.used.codes), "unknown": self.used.why_unknown,
            },
            "may_go": [each.as_json() for each in self.may_go],
        }  # fmt: skip


def look_at(store: Store, slurm: Slurm, asked: Collection[str] = ()) -> StoreUsage:
    """Measure a store, and find what may go.

    Args:
        asked: ids of runs whose size is told apart.
    """
    measured = measure(store, server_time(store.root), asked)
    claimed = [run_id for run_id, each in measured.runs.items() if "claims" in each.names]
    used = in_use(store, slurm, claimed)
    rehearsals = {path: _in_use_of(store, path, slurm) for path in measured.rehearsals}
    return StoreUsage(measured, used, removable(measured, used, rehearsals))


def _in_use_of(store: Store, path: Path, slurm: Slurm) -> InUse:
    rehearsal = Store(path, store.trusts_members)
    runs = measure(rehearsal, 0.0).runs
    return in_use(rehearsal, slurm, [run for run, each in runs.items() if "claims" in each.names])
