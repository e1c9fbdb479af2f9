"""Shards of photo-like JPEGs with captions, made on this machine, always the same.

python -m benchmarks.harness.photo_shards small      # 256-384 px, 20-40 kB each
python -m benchmarks.harness.photo_shards many       # eight times as many of them
python -m benchmarks.harness.photo_shards large      # 1024 px, noisy, 300-500 kB each

They are kept in the folder for temporary files and made once. What costs a decoder time is how
many coefficients are not zero, so bytes per pixel are those of photos: 1/f spectra (Field 1987),
edges of things that cover each other, and the noise of a sensor.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

_ROOT = Path(__file__).parent.parent.parent
_SHARDS = 4
_QUALITY = 85
_CLASSES = 10
_WORDS = (
    "a", "the", "two", "old", "small", "red", "green", "blue", "white", "photo", "of", "dog", "cat",
    "bird", "man", "woman", "house", "street", "car", "boat", "tree", "river", "mountain", "table",
    "flower", "field", "summer", "evening", "with", "in", "near", "behind", "standing", "running",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of source; sides in pixels, noise in gray levels."""

    images: int
    sides: tuple[int, int]
    noise: float
    different: int  # the rest are these again, by other names


KINDS = {
    "small": Kind(512, (256, 384), 1.5, different=512),
    "many": Kind(4096, (256, 384), 1.5, different=512),
    "large": Kind(128, (1024, 1024), 7.5, different=128),
}


def shards(name: str) -> Path:
    """The folder of a kind's shards with their index, made where it is absent."""
    folder = Path(tempfile.gettempdir()) / f"hpc_xfer-benchmarks-{os.getuid()}" / name
    if not folder.is_dir():
        _make(KINDS[name], folder)
    # Always: it takes a second, and an older version of us may have written the index.
    command = [sys.executable, "-m", "hpc_xfer.shards", "index", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=_ROOT)
    return folder


def encoded(folder: Path) -> list[bytes]:
    """All JPEGs of a folder of shards."""
    found = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = [member for member in tar if member.name.endswith(".jpg")]
            found += [file.read() for m in members if (file := tar.extractfile(m)) is not None]
    return found


def photo(rng: Generator, height: int, width: int, noise: float) -> NDArray[np.uint8]:
    """uint8 (height, width, 3): a 1/f luma, smoother chroma, ten covering discs, noise."""
    luma = 55 * _field(rng, height, width, 1.3)
    chroma = [18 * _field(rng, height, width, 1.8) for _ in range(2)]
    y, x = np.ogrid[:height, :width]
    for _ in range(10):
        cy, cx, radius = rng.random(3) * (height, width, min(height, width) / 4)
        inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        luma[inside] = 0.5 * luma[inside] + rng.normal(0, 40)
        for plane in chroma:
            plane[inside] += rng.normal(0, 15)
    red, blue = chroma
    pixels = np.stack([luma + red, luma - 0.5 * red - 0.3 * blue, luma + blue], axis=-1) + 120
    pixels += noise * rng.standard_normal(pixels.shape, np.float32)
    return pixels.clip(0, 255).astype(np.uint8)


def _field(rng: Generator, height: int, width: int, power: float) -> NDArray[np.float32]:
    """White noise with amplitude 1/f^power, unit variance."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(fy, fx).astype(np.float32)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width), np.float32)) / frequency**power
    field = np.fft.irfft2(spectrum, s=(height, width))
    return field / field.std()


@lru_cache(maxsize=1024)  # 30 MB
def _sample(kind: Kind, i: int) -> dict[str, bytes]:
    rng = np.random.default_rng((4, i))
    low, high = kind.sides
    height, width = rng.integers(low, high + 1, 2)
    buffer = io.BytesIO()
    Image.fromarray(photo(rng, height, width, kind.noise)).save(buffer, "jpeg", quality=_QUALITY)
    caption = " ".join(rng.choice(_WORDS, rng.integers(6, 15)))
    return {"jpg": buffer.getvalue(), "txt": caption.encode(), "cls": b"%d" % (i % _CLASSES)}


def _make(kind: Kind, folder: Path) -> None:
    """Whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
    for number, samples in enumerate(np.array_split(range(kind.images), _SHARDS)):
        with tarfile.open(unfinished / f"{number:05d}.tar", "w") as tar:
            for i in samples:
                for field, data in _sample(kind, i % kind.different).items():
                    member = tarfile.TarInfo(f"{i:06d}.{field}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    try:
        os.rename(unfinished, folder)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.harness.photo_shards",
        description="Make the shards and say what they hold.",
    )
    parser.add_argument("kind", choices=KINDS)
    kind = parser.parse_args().kind
    folder = shards(kind)
    sizes = [len(data) / 1000 for data in encoded(folder)]
    low, middle, high = np.percentile(sizes, [5, 50, 95])
    print(f"{folder}: {len(sizes)} JPEGs of {low:.0f} to {high:.0f} kB, median {middle:.0f}")


if __name__ == "__main__":
    main()
