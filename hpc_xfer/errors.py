"""What users do wrong, and what the world does wrong: one class per kind, one sentence per error.

A library function raises; only a command's `main` (see cli.py) turns these into an exit code.
Anything that is not one of these is our bug and shows its trace.
"""


class XferError(Exception):
    """The sentence names the place and the way out. `exit_code` is that of the command."""

    exit_code = 1


class StudyError(XferError):
    """The grid, the site file or the call is wrong; nothing was started."""

    exit_code = 2


class DataError(XferError):
    """A source, a shard or a data set is missing, broken or not what the recipe asks for."""


class AgreedDataError(DataError):
    """The same on all ranks, raised once they have told each other: no one waits for another."""


class StoreError(XferError):
    """The store cannot be read or written, or a file in it is damaged beyond its fallback."""


class ClaimLost(XferError):
    """Another process took this run over while we worked on it; whatever we hold is stale."""


class Diverged(XferError):
    """The loss is NaN or infinite."""


class Interrupted(XferError):
    """We were asked to stop and saved what was needed to go on later."""


class SlurmError(XferError):
    """Slurm refused, or does not answer. `unknown`: what was asked may have happened anyway."""

    def __init__(self, message: str, unknown: bool = False) -> None:
        super().__init__(message)
        self.unknown = unknown


class SubmitLimit(SlurmError):
    """Slurm takes no more jobs of ours now, and may later."""
