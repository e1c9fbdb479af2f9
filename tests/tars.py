"""Small images, samples and tars, such as this project and others write them."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image


def png(level: int = 128, file_format: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (level, 0, 0)).save(buffer, file_format)
    return buffer.getvalue()


def samples(n: int) -> list[dict[str, bytes]]:
    return [
        {"png": png(i), "cls": str(i % 2).encode(), "txt": f"number {i}".encode()} for i in range(n)
    ]


def picture_folder(folder: Path) -> Path:
    """Ten training and two test images of each of two classes."""
    for split, n in (("train", 10), ("test", 2)):
        for level, name in ((10, "big_cat"), (200, "dog")):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                (folder / split / name / f"{i}.png").write_bytes(png(level + i))
    return folder


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    """A tar such as other programs write: any names, any order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path
