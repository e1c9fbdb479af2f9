"""Define the errors that users see: one class per kind, one sentence per error.

Library functions raise them; only a command (see cli.py) turns them into an exit code. Any other
exception is a bug of this program and shows its trace.
"""


class XferError(Exception):
    """An error with one sentence, which names the place and the way out."""

    exit_code = 1  # of the command

    @property
    def sentences(self) -> tuple[str, ...]:
        """Lines that a command prints, one sentence each."""
        return (str(self),)


class StudyError(XferError):
    """The grid, the site file or the call is wrong; nothing was started.

    Args:
        sentences: one per error, in the order of the file.
    """

    exit_code = 2

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences)

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        return self.args


class NothingSelected(StudyError):
    """No run of a study is one that --only selects; another study of the call may have some."""


class DataError(XferError):
    """A source, a shard or a data set is missing, broken or not what the recipe needs."""


class AgreedDataError(DataError):
    """The same data error on all ranks, which have agreed on it: no rank waits for another."""


class SharedMemoryFull(XferError):
    """Loading processes cannot hand over their batches: /dev/shm is small or full.

    All ranks raise it at the same point.
    """


class StoreError(XferError):
    """The store cannot be read or written, or a file in it is damaged and has no fallback."""


class OutputLost(XferError, OSError):
    """Output of a command cannot be written; an OSError, which `warnings` lets pass."""


class RecipeUnreadable(XferError):
    """The recipe of a run in a pack is not one that this version can read."""


class ClaimLost(XferError):
    """Another process took over our run; our state of it is stale."""


class Diverged(XferError):
    """The loss is NaN or infinite."""


class GpuMissing(XferError):
    """A process was given a GPU, and torch cannot use it; nothing runs on the CPU instead.

    `node` is where it is missing, which may be that of another rank; None for this one.
    """

    def __init__(self, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class Interrupted(XferError):
    """A run was asked to stop, and has saved what it needs to go on later."""


class SlurmError(XferError):
    """Slurm refused or did not answer. `unknown`: the request may have taken effect anyway."""

    def __init__(self, message: str, unknown: bool = False) -> None:
        super().__init__(message)
        self.unknown = unknown


class SubmitLimit(SlurmError):
    """Slurm accepts no more of our jobs now, but may later."""
