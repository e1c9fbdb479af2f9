"""What decoding costs: each file in a process of its own, forked where all is imported.

The three ways of a file share its process: memory that one leaves behind counts for the next.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_CODE = """
import json, os, sys, time
from pathlib import Path
from hpc_xfer.compute.images.decode import decode_array
from hpc_xfer.compute.shard_tools.reencode import Reencoding, keep_file
from hpc_xfer.errors import DataError
from PIL import Image
import io

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

for kind in ("png", "jpeg", "webp", "avif", "tiff", "gif", "jpeg2000"):  # load the plugins
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    decode_array(file.getvalue())
calls = {"decode": decode_array, "keep": keep_file, "shrink": Reencoding(64).apply}
for path in sorted(Path(sys.argv[1]).iterdir()):
    if os.fork():
        os.wait()
        continue
    before = status("VmRSS")
    for name, call in calls.items():
        Path("/proc/self/clear_refs").write_text("5")
        start = time.perf_counter()
        try:
            call(path.read_bytes(), path.name)
            said = None
        except DataError as error:
            said = str(error)
        seconds = time.perf_counter() - start
        told = [path.name, name, said, status("VmHWM") - before, seconds]
        print(json.dumps(told), flush=True)
    os._exit(0)
"""


@dataclass(frozen=True)
class Cost:
    """What one call did with one file."""

    said: str | None  # the DataError; None where it was decoded
    megabytes: float  # at the peak, more than before
    seconds: float


def measured(folder: Path, timeout: float) -> dict[tuple[str, str], Cost]:
    """Decode every file of a folder in three ways; the cost by file and way."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, str(folder)],
        capture_output=True, text=True, timeout=timeout, check=True,
    )  # fmt: skip
    lines = map(json.loads, done.stdout.splitlines())
    return {(name, way): Cost(*rest) for name, way, *rest in lines}
