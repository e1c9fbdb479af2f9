"""Make, index and check shards: images per second on all cores, beside one process.

    python -m benchmarks.sharding

Of 10,000 photograph-like JPEGs of 512 px in a folder, warm in the page cache: enough for the start
of the processes, which takes a second, not to be what is measured.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import table
from benchmarks.harness.table import Row
from hpc_xfer.system.machine import cores

_IMAGES = 10_000
_ROOT = Path(__file__).parent.parent.parent


def photos(folder: Path) -> Path:
    """Smooth noise: 30 kB each, as photographs of this size have."""
    for i in range(_IMAGES):
        path = folder / str(i % 10) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < 50:
            path.write_bytes(_photo(i))
        else:
            os.link(folder / str(i % 10) / f"{i % 50}.jpg", path)
    return folder


def _photo(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((683, 512), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.normal(0, 6, smooth.shape).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(buffer, "jpeg")
    return buffer.getvalue()


def seconds(*arguments: str) -> float:
    begun = time.perf_counter()
    call = [sys.executable, "-m", "hpc_xfer.shards", *arguments]
    subprocess.run(call, check=True, capture_output=True, cwd=_ROOT)
    return time.perf_counter() - begun


def rows() -> Iterator[Row]:
    many = cores()
    small = ["--short-side", "256"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = str(photos(folder / "photos"))
        for what, options in (("make", []), ("make --short-side 256", small)):
            yield _row(
                f"shards {what}",
                *(
                    seconds("make", source, f"{folder}/{what}{n}", *options, "--per-shard", "50",
                            "--workers", str(n))
                    for n in (1, many)
                ),
            )  # fmt: skip
        for what in ("index", "check"):
            yield _row(
                f"shards {what}",
                *(seconds(what, f"{folder}/make1", "--workers", str(n)) for n in (1, many)),
            )


def _row(what: str, one: float, many: float) -> Row:
    table.progress(what)
    return Row(what, "images/s", _IMAGES / many, _IMAGES / one, peer_is="one process")


def main() -> None:
    args = table.arguments("sharding", __doc__ or "").parse_args()
    table.show(rows(), args.json)


if __name__ == "__main__":
    main()
