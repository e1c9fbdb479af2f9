"""Runs a command and kills itself with -9 at its n-th write: `python -m tests.killed N MODULE ...`.

Writes are renames, links, appends to the ledger, and starts of other programs. Told by Python's
audit events, so the command is the real one. Ends with the command's own exit code once N is more
than its writes.
"""

import os
import runpy
import signal
import sys
from typing import Any

WRITES = {"os.rename", "os.link", "subprocess.Popen"}


def main() -> None:
    left = int(sys.argv[1])
    module = sys.argv[2]
    sys.argv = sys.argv[2:]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in WRITES or (event == "open" and str(arguments[0]).endswith("launches.jsonl")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
