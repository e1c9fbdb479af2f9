"""Read every image of a data set: which cannot be decoded, and which are there twice.

Two images are the same if their pixels are: a file that was only packed anew counts as a copy.
"""

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from hpc_xfer.compute.downstream.datasets import load
from hpc_xfer.compute.downstream.fingerprints import FingerprintCache, of_words
from hpc_xfer.compute.downstream.image_sets import DownstreamData, ImageSet
from hpc_xfer.config.dataset_cards import CARDS
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import PACKAGED, dataset_info
from hpc_xfer.config.own_datasets.remarks import remarks
from hpc_xfer.errors import DataError
from hpc_xfer.system.terminal import ProgressCallback, counted

MOST_EXAMPLES = 20  # that the report shows one by one; --json has all
_AT_ONCE = 512  # images given to the threads; Ctrl-C waits for these


@dataclass(frozen=True)
class SplitReport:
    """One split."""

    name: str
    class_counts: tuple[int, ...]
    undecodable: tuple[str, ...]  # why, a sentence each
    duplicates: int  # images whose pixels another image of the split has, without the first
    mixed: int  # groups of equal images that have two classes


@dataclass(frozen=True)
class DatasetReport:
    """Findings of a check: counts, undecodable images, duplicates."""

    title: str
    classes: tuple[str, ...]
    splits: tuple[SplitReport, ...]
    shared: dict[str, int]  # "train, test" -> images of the second that the first has too
    fingerprint: str
    words: str  # fingerprint of class names and prompts
    problems: tuple[str, ...]  # sentences; none if all is well
    examples: tuple[str, ...]  # the first images that cannot be decoded
    notes: tuple[str, ...]


def read_dataset(
    name: str, place: Location | Path | None, progress: ProgressCallback
) -> DownstreamData:
    """Load a data set as a run does, with its fingerprint, for which every file is read.

    Raises:
        StudyError: the name is unknown, or the site file does not say where it lies.
        DataError: it is not there, or not the data set.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = _CountedFiles(Path(folder), progress)
        return load(dataset_info(name, place), place, FingerprintCache(files.touch, files.path_of))


def check_dataset(data: DownstreamData, threads: int, progress: ProgressCallback) -> DatasetReport:
    """Decode every image of a data set, and compare all of them."""
    total = sum(len(images) for images in data.splits.values())
    done = 0
    digests: dict[str, list[bytes | str]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for split, images in data.splits.items():
            digests[split] = []
            for digest in _read(pool, images):
                digests[split].append(digest)
                done += 1
                progress(done, total)
    return _report(data, digests)


class _CountedFiles:
    """Shows how far a fingerprint is: files are counted by their state first, and then read.

    The place of the cached fingerprint is asked for in between. It is an empty folder, so that
    every file is read.
    """

    def __init__(self, folder: Path, progress: ProgressCallback) -> None:
        self._folder, self._progress = folder, progress
        self._done = self._total = 0
        self._reads = False

    def touch(self) -> None:
        self._done += 1
        if self._reads:
            self._progress(self._done, self._total)
            if self._done == self._total:  # what comes next is counted first, too
                self._reads, self._done = False, 0

    def path_of(self, key: str) -> Path:
        self._reads, self._total, self._done = self._done > 0, self._done, 0
        return self._folder / f"{key}.json"


def _read(pool: ThreadPoolExecutor, images: ImageSet) -> Iterator[bytes | str]:
    """The digest of each image, or why it cannot be decoded."""
    for begin in range(0, len(images), _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, len(images)))
        yield from pool.map(partial(_digest, images), numbers)


def _digest(images: ImageSet, i: int) -> bytes | str:
    try:
        pixels = images.image(i).numpy()
    except DataError as error:
        return str(error)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


def _report(data: DownstreamData, digests: Mapping[str, Sequence[bytes | str]]) -> DatasetReport:
    name, classes = data.info.name, data.info.classes
    splits = tuple(
        _split(split, images, digests[split], len(classes)) for split, images in data.splits.items()
    )
    shared = _shared(digests)
    undecodable = [why for split in splits for why in split.undecodable]
    problems, notes = [], [*data.info.notes, *remarks(data.info)]
    if undecodable:
        problems.append(
            f"data set {name!r}: {counted(len(undecodable), 'image')} cannot be decoded; fetch or "
            "restore the data set"
        )
    # Equal images in the splits of their owners are a fact of the data set, which all results on it
    # share; in a data set of one's own they are a mistake.
    is_theirs = name in CARDS or name in PACKAGED
    for pair, count in shared.items():
        first, second = pair.split(", ")
        images = "1 image" if count == 1 else f"{count:,} images"
        verb, them = ("is", "it") if count == 1 else ("are", "them")
        found = f"data set {name!r}: {images} of {second} {verb} in {first} too"
        if is_theirs:
            notes.append(f"{found}; the splits of a packaged data set stay as they are")
        else:
            problems.append(f"{found}; remove {them} from one of the two")
    for split in splits:
        if split.mixed:
            verb = "is" if split.mixed == 1 else "are"
            images = counted(split.mixed, "image")
            notes.append(f"{split.name}: {images} {verb} there under two classes")
    return DatasetReport(
        title=data.info.title,
        classes=classes,
        splits=splits,
        shared=shared,
        fingerprint=data.fingerprint,
        words=of_words(data.info),
        problems=tuple(problems),
        examples=tuple(undecodable[:MOST_EXAMPLES]),
        notes=tuple(notes),
    )


def _split(
    name: str, images: ImageSet, digests: Sequence[bytes | str], classes: int
) -> SplitReport:
    labels = defaultdict(set)
    whole = [(digest, i) for i, digest in enumerate(digests) if isinstance(digest, bytes)]
    for digest, i in whole:
        labels[digest].add(int(images.labels[i]))
    return SplitReport(
        name=name,
        class_counts=tuple(np.bincount(images.labels, minlength=classes).tolist()),
        undecodable=tuple(digest for digest in digests if isinstance(digest, str)),
        duplicates=len(whole) - len(labels),
        mixed=sum(len(found) > 1 for found in labels.values()),
    )


def _shared(digests: Mapping[str, Sequence[bytes | str]]) -> dict[str, int]:
    """Count for each two splits the images of the second whose pixels are in the first."""
    pixels = {
        split: [digest for digest in found if isinstance(digest, bytes)]
        for split, found in digests.items()
    }
    counts = {}
    for first, second in combinations(pixels, 2):
        known = set(pixels[first])
        if count := sum(digest in known for digest in pixels[second]):
            counts[f"{first}, {second}"] = count
    return counts
