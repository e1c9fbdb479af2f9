"""Tell whether the failure of a run is from before its last submission."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hpc_xfer.store import failures
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.submission_ledger import Element, Submission


def is_older(error: Mapping[str, Any], folder: RunDir, elements: Sequence[Element]) -> bool:
    """Tell whether a failure is from before the last submission, which then decides the status.

    The order of the submissions decides, not the clocks of two hosts. The failure of a job that
    the ledger does not know (by hand, without Slurm) is dated by the file server.
    """
    last = elements[-1] if elements else None
    if last is None or last.job is None or last.submission.closed is not None:
        return False
    if _is_of(error, last):
        return False
    if any(_is_of(error, element) for element in elements[:-1]):
        return True
    return _is_dated_before(error, folder, last.submission)


def _is_of(error: Mapping[str, Any], element: Element) -> bool:
    return failures.is_of_job(error, element.job, element.submission.name)


def _is_dated_before(error: Mapping[str, Any], folder: RunDir, submission: Submission) -> bool:
    if submission.stored is not None:
        try:
            return folder.error.stat().st_mtime < submission.stored
        except OSError:
            return False
    dated = error.get("time", 0.0)  # none: it is older
    return bool(dated < datetime.fromisoformat(submission.time).timestamp())
