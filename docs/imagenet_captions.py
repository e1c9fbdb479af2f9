"""Make shards of ImageNet-Captions: images of ImageNet with what their owners wrote on Flickr.

python docs/imagenet_captions.py imagenet/train imagenet_captions.json shards/imagenet_captions

The first input is ImageNet's training set as its owners hand it out, a folder per class. The second
is a list with an entry per image: `filename`, and any of `title`, `tags` and `description`. Each
sample of the output has its image, its class number (cls) and these texts (json). Class numbers are
places in the sorted list of class folders. Run `python -m hpc_xfer.shards index` on the output. The
same call makes the same shards, so one that was killed can be typed again.
"""

import argparse
import json
import os
import random
import sys
import tarfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

TEXTS = ("title", "tags", "description")
PER_SHARD = 5000  # some 500 MB
MOST_ABSENT = 0.01  # of the images; more means that the two inputs do not belong together

Entry = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="a folder per class: train/n01440764/*.JPEG")
    parser.add_argument("captions", type=Path, help="imagenet_captions.json")
    parser.add_argument("out", type=Path, help="a folder of its own")
    args = parser.parse_args(argv)
    if not args.train.is_dir():
        sys.exit(f"{args.train}: no such folder; correct the path")
    if not args.captions.is_file():
        sys.exit(f"{args.captions}: no such file; correct the path")
    classes = sorted(path.name for path in args.train.iterdir() if path.is_dir())
    entries = json.loads(args.captions.read_text(encoding="utf-8"))
    if not all(isinstance(each, dict) and "filename" in each for each in entries):
        sys.exit(f"{args.captions}: is not a list of entries with a `filename` each")
    found = [(path, each) for each in entries if (path := _image(args.train, each)).is_file()]
    if len(found) < (1 - MOST_ABSENT) * len(entries) or not found:
        sys.exit(f"{args.train}: has {len(found):,} of the {len(entries):,} images; correct a path")
    random.Random(0).shuffle(found)
    shards = {
        f"{number:05}.tar": found[first : first + PER_SHARD]
        for number, first in enumerate(range(0, len(found), PER_SHARD))
    }
    if others := sorted(path.name for path in args.out.glob("*.tar") if path.name not in shards):
        sys.exit(f"{args.out}: holds {others[0]}, which is of another call; name a new folder")
    args.out.mkdir(parents=True, exist_ok=True)
    for name, samples in shards.items():
        _write(args.out / name, _members(samples, classes))
    absent = len(entries) - len(found)
    print(f"{args.out}: {len(found):,} images of {len(classes):,} classes; {absent:,} are absent")
    return 0


def _image(train: Path, entry: Entry) -> Path:
    """n01440764_10026.JPEG lies in the folder n01440764."""
    name = Path(str(entry["filename"])).name
    return train / name.split("_")[0] / name


def _members(
    samples: Sequence[tuple[Path, Entry]], classes: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    numbers = {name: number for number, name in enumerate(classes)}
    for path, entry in samples:
        texts = {key: entry[key] for key in TEXTS if entry.get(key)}
        yield f"{path.stem}.jpg", path.read_bytes()
        yield f"{path.stem}.cls", str(numbers[path.parent.name]).encode()
        yield f"{path.stem}.json", json.dumps(texts).encode()


def _write(path: Path, members: Iterator[tuple[str, bytes]]) -> None:
    """Write a shard whole: a call that is killed leaves no half of one under its name."""
    unfinished = path.with_suffix(".part")
    with tarfile.open(unfinished, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    os.replace(unfinished, path)


if __name__ == "__main__":
    sys.exit(main())
