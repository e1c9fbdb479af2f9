"""Find images that are there twice: test images that train too, training images of two classes.

    copies = find_copies({"train": (digests, labels), "test": (digests, labels)})
    copies.counts      # {"test_in_train": 24}

Accuracy on an image that was trained on is memory. A launch compares the files of an image folder
(`notes_on_copies`); the first job compares all data sets whose images it reads one by one.
"""

import hashlib
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # imported where it is used, so that --help starts at once
    from concurrent.futures import ThreadPoolExecutor

Digest = bytes | None  # None: known to be there once
Value = TypeVar("Value")
Images = tuple[Sequence[Digest], Sequence[int]]  # digest and label of each

MOST_FILES = 20_000  # that a launch looks at: a network file system takes 1 ms a file
MOST_BYTES = 1 << 29  # that it reads of files which look alike
_ENDS = 4096  # bytes at both ends, which tell most images of one size apart
_READERS = 16
_AT_ONCE = 64  # paths
_TWO_CLASSES = "train_two_classes"


@dataclass(frozen=True)
class Copies:
    """Images that are there twice: how many of each kind, and the first one by its number."""

    counts: dict[str, int] = field(default_factory=dict)  # none is 0
    first: dict[str, int] = field(default_factory=dict)


def find_copies(splits: Mapping[str, Images]) -> Copies:
    """Count images of each other split that are in `train`, and those of train with two classes."""
    found = Copies()
    digests, labels = splits["train"]
    classes: dict[bytes, set[int]] = defaultdict(set)
    for digest, label in zip(digests, labels, strict=True):
        if digest is not None:
            classes[digest].add(int(label))
    for split, (others, _) in splits.items():
        if split != "train":
            copied = [i for i, digest in enumerate(others) if digest in classes]
            _add(found, f"{split}_in_train", copied)
    mixed = [i for i, digest in enumerate(digests) if digest and len(classes[digest]) > 1]
    _add(found, _TWO_CLASSES, mixed)
    return found


def sentences(copies: Copies, names: Mapping[str, Sequence[str]]) -> list[str]:
    """Say what was found; `names` has those of the images of each split."""
    told = []
    for kind, count in copies.counts.items():
        split = "train" if kind == _TWO_CLASSES else kind.removesuffix("_in_train")
        of = f"{count:,} of {len(names[split]):,}"
        first = names[split][copies.first[kind]]
        verb, them = ("is", "it") if count == 1 else ("are", "them")
        if kind == _TWO_CLASSES:
            told.append(
                f"{of} training images {verb} byte for byte in two classes, the first {first}; "
                f"remove {them} from one of the two"
            )
        else:
            copies_of = "a training image" if count == 1 else "training images"
            told.append(
                f"{of} {split} images {verb} byte for byte {copies_of} too, the first {first}; "
                f"remove {them} from one of the two: accuracy on {them} is memory"
            )
    return told


def notes_on_copies(root: Path, splits: Mapping[str, Mapping[str, Sequence[Path]]]) -> list[str]:
    """Compare the files of an image folder, or say that there are too many to look at here.

    Files of one size are compared at both ends, and whole where these are equal.

    Args:
        splits: split -> class -> files.
    """
    files = {split: [f for of in classes.values() for f in of] for split, classes in splits.items()}
    total = sum(map(len, files.values()))
    if total > MOST_FILES:
        return [_later(f"{total:,} files are too many to look for copies here")]
    every = [path for paths in files.values() for path in paths]
    digests = _digests(every)
    if digests is None:
        return [_later("the files that look alike are too large to be compared here")]
    images: dict[str, Images] = {}
    for split, classes in splits.items():
        labels = [label for label, of in enumerate(classes.values()) for _ in of]
        images[split] = [digests.get(path) for path in files[split]], labels
    names = {
        split: [path.relative_to(root).as_posix() for path in paths]
        for split, paths in files.items()
    }
    return sentences(find_copies(images), names)


def _later(why: str) -> str:
    return f"{why}; the first job that reads the data set counts test images that train too"


def _digests(paths: Sequence[Path]) -> dict[Path, bytes] | None:
    """SHA-256 of each file that another one may equal; None where that is too much to read.

    A file that cannot be read is left out: the job that needs it says so.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_READERS) as readers:
        sizes = _of_each(readers, _size, paths)
        alike = _shared(sizes)
        ends = _of_each(readers, _ends, alike)
        alike = _shared({path: end and (sizes[path], end) for path, end in ends.items()})
        if sum(sizes[path] or 0 for path in alike) > MOST_BYTES:
            return None
        found = _of_each(readers, _whole, alike).items()
        return {path: digest for path, digest in found if digest is not None}


def _of_each(
    readers: "ThreadPoolExecutor", read: Callable[[Path], Value | None], paths: Sequence[Path]
) -> dict[Path, Value | None]:
    """Call `read` for each path, many paths a task: a task costs as much as a read on a disk."""
    parts = [paths[i : i + _AT_ONCE] for i in range(0, len(paths), _AT_ONCE)]
    found = readers.map(lambda part: [read(path) for path in part], parts)
    return dict(zip(paths, itertools.chain.from_iterable(found), strict=True))


def _shared(keys: Mapping[Path, object]) -> list[Path]:
    """The files whose key another file has too."""
    times = Counter(keys.values())
    return [path for path, key in keys.items() if key is not None and times[key] > 1]


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size or None  # empty files are no images, and are told as such
    except OSError:
        return None


def _ends(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as file:
            head = file.read(_ENDS)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _ENDS))
            return hashlib.sha256(head + file.read(_ENDS)).digest()
    except OSError:
        return None


def _whole(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None


def _add(found: Copies, kind: str, images: Sequence[int]) -> None:
    if images:
        found.counts[kind], found.first[kind] = len(images), images[0]
