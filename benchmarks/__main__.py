"""All benchmarks, one table.

    python -m benchmarks                   # half an hour on two cores
    python -m benchmarks loader step

What cannot be measured here (launch_scale needs Slurm) is said, and the others go on; then the exit
code is 1. A missed target is a result, not an error.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks import table
from benchmarks.table import Row

_ROOT = Path(__file__).parent.parent
_ALL = (
    "startup",
    "packing",
    "sharding",
    "launch_scale",
    "loader",
    "step",
    "loop_overhead",
    "checkpoint",
    "resume",
)


def main() -> int:
    parser = table.arguments("", __doc__)
    parser.prog = "python -m benchmarks"
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(_ALL)}")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(_ALL)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(_ALL)}")
    rows: list[Row] = []
    failed = False
    for name in args.names or _ALL:
        table.progress(f"{name} ...")
        try:
            rows += measured(name)
        except RuntimeError as error:
            failed = True
            table.progress(f"{name}: {error}")
    table.show(rows, args.json)
    return int(failed)


def measured(name: str) -> list[Row]:
    """The rows of a benchmark, which runs in a process of its own.

    Raises:
        RuntimeError: it failed; its last words.
    """
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    if done.returncode:
        raise RuntimeError(f"not measured; `python {' '.join(command[1:])}` ended with an error")
    return table.read(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
