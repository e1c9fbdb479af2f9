"""Run the tests marked `gpu` as one row of the table."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.report import Measured
from benchmarks.harness import table
from hpc_xfer.system import machine

_ROOT = Path(__file__).parent.parent.parent
_AT_ONCE = 4  # processes; each takes half a gigabyte of the card for CUDA itself


def run(seconds: float) -> Measured:
    """Run them; what fails is printed to standard error."""
    what, many = "tests marked gpu", min(_AT_ONCE, machine.cores())
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-n", str(many), "tests"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Measured(what, found=f"not finished after {seconds:.0f} s", failed=True)
    counts = [line for line in done.stdout.splitlines() if re.search(r"\d+ (passed|failed)", line)]
    if done.returncode:
        table.progress(done.stdout + done.stderr)
    found = counts[-1].strip("= ") if counts else f"pytest ended with {done.returncode}"
    return Measured(what, found=found, failed=done.returncode != 0)
