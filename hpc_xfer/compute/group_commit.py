"""Put the results of several small runs on disk together: one wait for the disk per group.

    group = GroupCommit()
    group.add(claim, run_dir, {run_dir.hits: hits, run_dir.record: record})
    for run_id, claim, error in group.commit(): ...     # error: None where the run is done now

A run takes less time than one fsync here, and has two files. Until the commit a run has no file
and keeps its claim, so a crash loses a group and nothing else: its runs are not done.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hpc_xfer.compute.file_sync import sync_all
from hpc_xfer.errors import ClaimLost, StoreError
from hpc_xfer.store.ownership.run_claims import Claim
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files

SMALL_SECONDS = 2.0  # a run that takes longer is written at once, by itself
_GROUP_SECONDS = 2.0  # the oldest run of a group waits about so long
_GROUP_RUNS = 64
Outcome = ClaimLost | StoreError | None
Item = TypeVar("Item")


@dataclass
class _PendingRun:
    """A run with its result in memory."""

    claim: Claim
    folder: RunDir
    files: Mapping[Path, bytes]  # the record last: its presence means that the run is done
    afterwards: Callable[[], object]
    prepared: dict[Path, Path] = field(default_factory=dict)  # file -> its temporary file


class GroupCommit:
    """Results that wait for their commit; a worker of one process has one group."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending: dict[str, _PendingRun] = {}
        self._since = 0.0  # time of the first run in the group

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._pending

    @property
    def is_due(self) -> bool:
        """True where the group is large or old enough."""
        old = self._clock() - self._since >= _GROUP_SECONDS
        return len(self._pending) >= _GROUP_RUNS or bool(self._pending and old)

    def add(
        self,
        claim: Claim,
        folder: RunDir,
        files: Mapping[Path, bytes],
        afterwards: Callable[[], object] = lambda: None,
    ) -> None:
        """Keep the files of a finished run until the commit.

        Args:
            afterwards: called once the files are on disk: what a run needs until then may go.
        """
        if not self._pending:
            self._since = self._clock()
        self._pending[folder.id] = _PendingRun(claim, folder, files, afterwards)

    def drop(self, run_id: str) -> None:
        """Forget a run, which then is not done."""
        self._pending.pop(run_id, None)

    def commit(self) -> list[tuple[str, Claim, Outcome]]:
        """Write all results; return for each run its claim and what kept it from being done."""
        pending, self._pending = self._pending, {}
        outcomes: dict[str, Outcome] = {}
        for run_id, run in pending.items():
            outcomes[run_id] = _attempt(_prepare, run)
        _sync(pending, outcomes)
        for run_id, run in pending.items():
            if outcomes[run_id] is None:
                outcomes[run_id] = _attempt(_publish, run)
            for temporary in run.prepared.values():
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
        return [(run_id, run.claim, outcomes[run_id]) for run_id, run in pending.items()]


def _prepare(run: _PendingRun) -> None:
    run.claim.check()
    for path, data in run.files.items():
        run.prepared[path] = atomic_files.prepare(path, data)


def _sync(pending: Mapping[str, _PendingRun], outcomes: dict[str, Outcome]) -> None:
    """Wait for the disk once; after an error for each file, to find the runs that it hit."""
    good = {run_id: run for run_id, run in pending.items() if outcomes[run_id] is None}
    files = {run_id: list(run.prepared.values()) for run_id, run in good.items()}
    try:
        sync_all([path for paths in files.values() for path in paths])
    except StoreError:
        for run_id, paths in files.items():
            outcomes[run_id] = _attempt(sync_all, paths)


def _publish(run: _PendingRun) -> None:
    run.claim.check()
    for path, temporary in run.prepared.items():
        atomic_files.rename(temporary, path)
    run.folder.error.unlink(missing_ok=True)
    run.afterwards()


def _attempt(work: Callable[[Item], None], item: Item) -> Outcome:
    try:
        work(item)
    except (ClaimLost, StoreError) as error:
        return error
    return None
