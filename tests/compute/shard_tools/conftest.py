"""Images to pack."""

from pathlib import Path

import pytest
from PIL import Image

from tests.compute.shard_tools.making import encoded, noise
from tests.tars import png


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images of two classes, one of them in a format that shards do not know."""
    folder = tmp_path / "my photos"
    for name in ("big_cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(3):
            (folder / name / f"{i}.JPG").write_bytes(png(80 * i, "jpeg"))
    (folder / "dog" / "2.JPG").unlink()
    Image.new("RGB", (8, 6), (9, 9, 9)).save(folder / "dog" / "2.bmp")
    return folder


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Sixty images of noise in two classes."""
    folder = tmp_path / "many"
    for i in range(60):
        path = folder / str(i % 2) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noise(40 + i, 40, i)))
    return folder
