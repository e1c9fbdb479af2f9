"""A text stream that tells in one sentence that it cannot be written: a full disk, a quota.

    sys.stdout = OutputStream(sys.stdout)
    OutputStream.outlives_readers = True    # in a launch, which works on when nobody reads any more

A launch, or a job, must not end in the middle of its work since its log cannot be written.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TextIO

from hpc_xfer.errors import OutputLost

_NAMES = {"<stdout>": "standard output", "<stderr>": "standard error"}


class OutputStream:
    """A text stream to a terminal, a pipe or a file, after which nothing is printed once it failed.

    A pipe whose reader went away raises BrokenPipeError, as Python's own streams do.
    """

    outlives_readers = False  # of this process: go on with the work, whatever becomes of its output

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw
        self.lost = ""  # why nothing more can be written, though somebody may read

    def write(self, text: str) -> int:
        with self._guarded():
            self.raw.write(text)
        return len(text)

    def flush(self) -> None:
        with self._guarded():
            self.raw.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            if not self.outlives_readers:
                raise
            self._write_to_nothing()
        except OSError as error:
            name = _NAMES.get(self.raw.name, self.raw.name)
            self.lost = f"{name} cannot be written ({error.strerror}): its end is missing"
            self._write_to_nothing()
            if not self.outlives_readers:
                raise OutputLost(self.lost) from None

    def _write_to_nothing(self) -> None:
        """Let go what Python has not written yet: else it tries again when the process ends."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.raw.fileno())
        os.close(nothing)
