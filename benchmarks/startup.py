"""How long a login-node command takes to start, beside what it would take if it imported torch.

python -m benchmarks.startup
"""

import statistics
import subprocess
import sys
import time

from benchmarks import machine
from hpc_xfer.__main__ import COMMANDS

_TIMES = 10
_TORCH = "import torch, open_clip"


def seconds(*arguments: str) -> float:
    """Median wall-clock seconds of `python ARGUMENTS`, interleaved by the caller."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    lines = {name: ("-m", f"hpc_xfer.{name}", "--help") for name in COMMANDS}
    lines |= {"python -c pass": ("-c", "pass"), _TORCH: ("-c", _TORCH)}
    taken: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(_TIMES):
        for name, arguments in lines.items():
            if name != _TORCH or len(taken[name]) < 3:
                taken[name].append(seconds(*arguments))
    peer = statistics.median(taken[_TORCH])
    print(f"{'start of':<28}{'seconds':>9}{'torch / it':>12}   {machine.describe()}")
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:<28}{median:>9.2f}{peer / median:>11.0f}x")


if __name__ == "__main__":
    main()
