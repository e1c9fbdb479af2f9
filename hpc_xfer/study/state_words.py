"""The words for the state of a run, in `status`, in `collect` and in missing.csv.

    STATES                        # the words of `status`, in the order of its tables
    MEANINGS["lost"]
    IN_MISSING_CSV["pending"]     # "not run"

`collect` reads the store alone, so that the same records give the same tables; `status` asks Slurm
too. So one word of missing.csv stands for several of `status`, and no word has two meanings.
"""

from collections.abc import Mapping
from typing import Literal

State = Literal["done", "running", "starting", "pending", "blocked", "failed", "lost", "missing"]
STATES: tuple[State, ...] = (
    "done", "running", "starting", "pending", "blocked", "failed", "lost", "missing",
)  # fmt: skip

MEANINGS: Mapping[State, str] = {
    "done": "it has a result",
    "running": "a process works on it",
    "starting": "Slurm runs its job, and no process works on it yet",
    "pending": "its job waits, or another run of its job goes first",
    "blocked": "a run that it starts from failed",
    "failed": "it ended with an error; the class says which kind",
    "lost": "its job ended without a result and without an error",
    "missing": "no job has it",
}

MissingState = Literal["failed", "blocked", "not run"]
# Also of cells: `incomplete` ones wait for some of their runs. The gravest first.
MISSING_WORDS = ("failed", "incomplete", "blocked", "not run")

# None: it is not in missing.csv. A lost run is `failed` there as soon as the relay, or the next
# launch, has recorded how its job ended.
IN_MISSING_CSV: Mapping[State, MissingState | None] = {
    "done": None,
    "running": "not run",
    "starting": "not run",
    "pending": "not run",
    "blocked": "blocked",
    "failed": "failed",
    "lost": "not run",
    "missing": "not run",
}

JUST_SUBMITTED = "submitted a moment ago"  # why a run is pending that Slurm does not show yet
# Why a run is `missing`; "" where it was never in a job.
CANCELLED = "cancelled"
BEING_CANCELLED = "being cancelled"
MISSING_MEANINGS: Mapping[str, str] = {
    CANCELLED: "launch the study again to run them",
    BEING_CANCELLED: "Slurm is ending their jobs",
    "dependency": "Slurm dropped their jobs because a job before them failed or was cancelled",
}
