"""Time the start of each login-node command, beside a command that imports torch.

    python -m benchmarks.startup

The limit is an interpreter that does nothing.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.harness import table
from benchmarks.harness.table import Row
from hpc_xfer.__main__ import COMMANDS

_TIMES = 10
_NOTHING = "nothing"
_TORCH = "import torch, open_clip"


def seconds(*arguments: str) -> float:
    """Median wall-clock seconds of `python ARGUMENTS`, interleaved by the caller."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun


def rows() -> Iterator[Row]:
    lines: dict[str, tuple[str, ...]] = {
        name: ("-m", f"hpc_xfer.{name}", "--help") for name in COMMANDS
    }
    lines |= {_NOTHING: ("-c", "pass"), _TORCH: ("-c", _TORCH)}
    taken: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(_TIMES):
        for name, arguments in lines.items():
            if name != _TORCH or len(taken[name]) < 3:
                taken[name].append(seconds(*arguments))
    middle = {name: statistics.median(values) for name, values in taken.items()}
    for name in COMMANDS:
        yield Row(
            f"start of {name}", "s", middle[name], middle[_TORCH], _TORCH, middle[_NOTHING],
            "python -c pass", less_is_better=True,
        )  # fmt: skip


def main() -> None:
    args = table.arguments("startup", __doc__).parse_args()
    table.show(rows(), args.json)


if __name__ == "__main__":
    main()
