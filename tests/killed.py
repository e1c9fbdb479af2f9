"""Runs a command and kills itself with -9 at its n-th write: `python -m tests.killed N MODULE ...`.

Writes are renames, links, appends to the ledger, and starts of other programs. Told by Python's
audit events, so the command is the real one. Ends with the command's own exit code once N is more
than its writes. With `sbatch` for N it dies after its first sbatch, as it would write down the id.
"""

import os
import runpy
import signal
import sys
from typing import Any

WRITES = {"os.rename", "os.link", "subprocess.Popen"}


class Writes:
    """Counts what a command writes, and ends it."""

    def __init__(self, when: str) -> None:
        self.left = None if when == "sbatch" else int(when)
        self.submitted = False

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        ledger = event == "open" and str(arguments[0]).endswith("launches.jsonl")
        if self.left is None:
            if ledger and self.submitted:
                os.kill(os.getpid(), signal.SIGKILL)
            self.submitted |= event == "subprocess.Popen" and "sbatch" in list(arguments[1])
        elif event in WRITES or ledger:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    writes = Writes(sys.argv[1])
    module = sys.argv[2]
    sys.argv = sys.argv[2:]
    sys.addaudithook(writes.hear)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
