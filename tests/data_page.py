"""The folder that docs/data.md works in: photos, tables and shards as people have them."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import torchvision
from PIL import Image
from pyarrow import parquet
from safetensors.torch import save_file

from tests.tars import write_tar

ANIMALS = ("golden_retriever", "siamese_cat")


def photo(number: int, size: tuple[int, int] = (40, 32)) -> bytes:
    """A small JPEG of noise, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()


def lay_out(folder: Path) -> None:
    """Make all that the commands of the page read."""
    _photos(folder / "photos")
    _tables(folder / "tables")
    _shards(folder / "laion")
    for first, name in ((100, "web"), (200, "news")):
        _scored(folder / name, first)
    (folder / "weights").mkdir()
    save_file(torchvision.models.resnet18().state_dict(), folder / "weights/resnet18.safetensors")


def _photos(folder: Path) -> None:
    """16 training and 8 test images of two classes, one test image that is a training image too."""
    for split, n in (("train", 8), ("test", 4)):
        for label, name in enumerate(ANIMALS):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                number = 100 * label + i + (0 if split == "train" else 50)
                (folder / split / name / f"{i}.jpg").write_bytes(photo(number))
    train = folder / "train" / ANIMALS[0]
    (folder / "test" / ANIMALS[0] / "0.jpg").write_bytes((train / "0.jpg").read_bytes())
    (train / "notes.txt").write_text("taken in May\n")
    (train / "lost.jpg").symlink_to(folder / "nowhere.jpg")


def _tables(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    for i in range(6):
        (folder / f"images/{i}.jpg").write_bytes(photo(i))
    captions = ['"Cats", a poster', "a dog", 'a 5" pipe', "two birds", "a tree", "the sea"]
    rows = [f"images/{i}.jpg\t{caption}" for i, caption in enumerate(captions)]
    (folder / "captions.tsv").write_text("\n".join(["image\tcaption", *rows]) + "\n")
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label"])
        writer.writerows([f"images/{i}.jpg", label] for i, label in enumerate([0, 1, -1, 0, 1, 0]))
    images = [{"bytes": photo(i), "path": f"{i}.jpg"} for i in range(6)]
    table = pa.table({"image": images, "text": captions})
    parquet.write_table(table, folder / "hub.parquet")


def _shards(folder: Path) -> None:
    """Two shards of img2dataset, with what the web has in them, and one in a folder below."""
    odd = {3: {"txt": b"nan"}, 5: {"txt": b"caf\xe9"}, 12: {"cls": b"-1"}}
    for number in range(3):
        samples = range(number * 8, number * 8 + 8)
        members = [
            (f"{i:05d}.{field}", data)
            for i in samples
            for field, data in (_sample(i) | odd.get(i, {})).items()
        ]
        name = f"{number:05d}.tar"
        write_tar(folder / name if number < 2 else folder / "more" / name, members)


def _scored(folder: Path, first: int) -> None:
    """Two shards whose json has a score, a hash that two samples share, and a second caption."""
    for number in range(2):
        members = []
        for i in range(number * 8, number * 8 + 8):
            content = {"clip_score": i / 16, "phash": f"{i // 2:04x}", "blip": f"a photo {i}"}
            sample = _sample(first + i) | {"json": json.dumps(content).encode()}
            members += [(f"{i:05d}.{field}", data) for field, data in sample.items()]
        write_tar(folder / f"{number:05d}.tar", members)


def _sample(i: int) -> dict[str, bytes]:
    return {"jpg": photo(i), "txt": f"picture {i}".encode(), "cls": str(i % 2).encode()}
