"""Say why a planned run has no result. Derived from the store, never stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hpc_xfer.results.parts.local_paths import shortened
from hpc_xfer.results.parts.record_files import RecordFile
from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.study.state_words import MissingState
from hpc_xfer.system.screen.plain_text import plain

ParentState = Literal["finished", "failed", "not run"]
DIVERGED = "nan"  # the error class of a run whose loss became NaN or infinite
_MOST_READ = 10_000  # letters of an error message
_LONGEST = 300  # characters of an error message that a table shows; error.json has all


@dataclass(frozen=True)
class MissingRun:
    """One planned run without a result."""

    run: Run
    state: MissingState
    error: str = ""  # class
    message: str = ""  # one line

    @property
    def diverged(self) -> bool:
        return (self.state, self.error) == ("failed", DIVERGED)


def missing_run(
    run: Run, file: RecordFile, store: Store, parents: Mapping[str, ParentState]
) -> MissingRun:
    """Find the reason, given the record that cannot be used.

    Args:
        parents: states of the pre-trainings, by id.
    """
    if file.is_done:
        record = store.run(run.id).record.relative_to(store.root).as_posix()
        message = f"{record} {plain(file.why, most=_LONGEST)}; remove it and launch again"
        return MissingRun(run, "failed", "BadRecord", message)
    waits = [parent.id for parent in run.parents if parents[parent.id] != "finished"]
    why = f"its parent {waits[0]} has no result" if waits else ""
    if any(parents[parent] == "failed" for parent in waits):
        return MissingRun(run, "blocked", message=why)
    error = failures.read(store.run(run.id))
    if error is not None:
        return MissingRun(run, "failed", *_told(error, store))
    return MissingRun(run, "not run", message=why)


def _told(error: Mapping[str, object], store: Store) -> tuple[str, str]:
    """Return class and message of a failure, without paths outside the store."""
    message = shortened(str(error.get("message") or "")[:_MOST_READ], store.root)
    return _line(error.get("class")), _line(message)


def _line(text: object) -> str:
    return plain(" ".join(str(text or "")[:_MOST_READ].split()), most=_LONGEST)
