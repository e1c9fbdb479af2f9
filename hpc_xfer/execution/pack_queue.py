"""Keep the packs that wait for their parents or for room, and the state of their runs."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Literal

from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study import job_arrays
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Plan, Run

_MOST_SILENT = 2  # workers of a run that end before they report anything
_MOST_IN_VAIN = 5  # times that a run is queued again while no run ends


class PackQueue:
    """Packs to be executed, parents first."""

    def __init__(self, launched: LaunchedStudy, todo: Plan) -> None:
        self.open: set[str] = {run.id for run in todo.runs}  # neither done nor failed
        self.held: dict[str, Run] = {}  # another launch works on these
        self.failed: dict[str, str] = {}  # run id -> message
        self.blocked: set[str] = set()  # a parent failed
        self._plan, self._store, self._study = launched.plan, launched.store, launched.study.name
        self._waiting: deque[Pack] = deque()
        self._names: dict[str, str] = {}  # pack id -> BATCH/INDEX
        self._silent: Counter[str] = Counter()  # run id -> such workers
        self._again: dict[str, tuple[int, int]] = {}  # run id -> open runs then, times since
        for array in job_arrays.cut_into_arrays(todo):
            self._add(array)

    @property
    def is_empty(self) -> bool:
        return not (self._waiting or self.held)

    def hand_out(self, execute: Callable[[Pack, str], bool]) -> None:
        """Call `execute` for each pack that is ready; one that returns False has no room now."""
        for _ in range(len(self._waiting)):
            pack = self._waiting.popleft()
            match self._readiness(pack):
                case "ready" if execute(pack, self._names[pack.id]):
                    continue
                case "blocked":
                    self.blocked |= {run.id for run in pack.runs}
                    self.open -= self.blocked
                case _:
                    self._waiting.append(pack)

    def knows(self, run_id: str) -> bool:
        """Tell whether a run is one of the plan."""
        return run_id in self._plan.by_id

    def put_back(self, runs: Sequence[Run]) -> list[Run]:
        """Queue runs again whose worker was lost; return those that were it too often in vain."""
        given_up = [run for run in runs if self._times_in_vain(run.id) > _MOST_IN_VAIN]
        kept = [run for run in runs if run not in given_up]
        for array in job_arrays.arrays_of(self._plan, kept):
            self._add(array)
        return given_up

    def is_silent_again(self, run_id: str) -> bool:
        """Count a worker that ended before it reported anything; True for the last one allowed."""
        self._silent[run_id] += 1
        return self._silent[run_id] >= _MOST_SILENT

    def _times_in_vain(self, run_id: str) -> int:
        left, times = self._again.get(run_id, (len(self.open), 0))
        times = times + 1 if left == len(self.open) else 1
        self._again[run_id] = (len(self.open), times)
        return times

    def hold(self, run_id: str) -> None:
        """Note that another launch works on a run."""
        self.held[run_id] = self._plan.by_id[run_id]

    def left_of(self, pack: Pack | None) -> list[Run]:
        """Return the runs of a pack that have no end yet and that no other launch works on."""
        runs = pack.runs if pack else ()
        return [run for run in runs if run.id in self.open and run.id not in self.held]

    def finish(self, run_id: str) -> bool:
        """Note that a run is done; False where its end was known."""
        known = run_id not in self.open
        self.open.discard(run_id)
        return not known

    def fail(self, run_id: str, message: str) -> bool:
        """Note that a run failed; False where its end was known."""
        if not self.finish(run_id):
            return False
        self.failed[run_id] = message
        return True

    def _readiness(self, pack: Pack) -> Literal["ready", "later", "blocked"]:
        parents = {parent.id for parent in pack.parents}
        if parents & self.open:
            return "later"
        return "blocked" if parents & (self.failed.keys() | self.blocked) else "ready"

    def _add(self, array: JobArray) -> None:
        resources = self._plan.resources.of(array.kind)
        self._store.write_manifest(self._study, array, resources.model_dump(mode="json"))
        for index, pack in enumerate(array.packs):
            self._names[pack.id] = f"{array.id}/{index}"
            self._waiting.append(pack)
