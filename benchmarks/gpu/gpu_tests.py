"""Run the tests marked `gpu` as one row of the table."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.gpu.report import Measured
from benchmarks.harness import table
from hpc_xfer.system import machine

FOLDER = "tests/compute"  # has them all; each process would collect 8,000 others for 20 s
_ROOT = Path(__file__).parent.parent.parent
_AT_ONCE = 8  # processes; each takes half a gigabyte of the card for CUDA itself


def run(seconds: float) -> Measured:
    """Run them; if one fails or the time is over, all that they said goes to standard error."""
    what, many = "tests marked gpu", min(_AT_ONCE, machine.cores())
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-n", str(many)]
    command += ["-p", "no:benchmark"]  # where it is installed, it warns of -n: an error to us
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [*command, "--dist", "worksteal", FOLDER],
            stdout=said, stderr=subprocess.STDOUT, cwd=_ROOT, start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:  # its processes too, which would share the card with what is measured next
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0)
        text = said.read()
    if code != 0:
        table.progress(text)
    return Measured(what, found=_found(text, code, seconds), failed=code != 0)


def _found(text: str, code: int | None, seconds: float) -> str:
    """Return the last line of pytest, or how far it came."""
    if code is None:
        counts = [f"{text.count(word)} {word.lower()}" for word in ("PASSED", "FAILED")]
        return f"not finished after {seconds:.0f} s: {', '.join(counts)} until then"
    counts = [line for line in text.splitlines() if re.search(r"\d+ (passed|failed)", line)]
    return counts[-1].strip("= ") if counts else f"pytest ended with {code}"
