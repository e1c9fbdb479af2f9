"""The images of a data set by split, and the checks that every list of them must pass.

The launcher lists on the login node and the job lists again with the same code. Neither torch nor a
pixel is needed: names come from the owners' lists and folders.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.atomic_files import OddFile

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)


_MOST_LIST = 256 << 20  # bytes; that of DomainNet has 3 MB, annotations of CCT-20 have 30


@dataclass(frozen=True)
class ListedImages:
    """Images of one split: names relative to the folder of the listing, and labels."""

    names: tuple[str, ...]
    labels: tuple[int, ...]
    listed: int = -1  # images in the owners' list, where some of them are left out

    def __post_init__(self) -> None:
        if self.listed < 0:
            object.__setattr__(self, "listed", len(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def counts(self, classes: int) -> tuple[int, ...]:
        """Images of each class."""
        found = [0] * classes
        for label in self.labels:
            found[label] += 1
        return tuple(found)


@dataclass(frozen=True)
class Listing:
    """A data set as it lies on disk."""

    folder: Path  # names are relative to it
    train: ListedImages
    test: ListedImages
    val: ListedImages | None = None  # the owners' validation set
    further: Mapping[str, ListedImages] = field(default_factory=dict)  # further test sets
    lists: tuple[Path, ...] = ()  # files that decide labels and splits
    notes: tuple[str, ...] = ()  # sentences for a reader: what is left out, what is absent

    @property
    def splits(self) -> dict[str, ListedImages]:
        val = {} if self.val is None else {"val": self.val}
        return {"train": self.train, **val, "test": self.test, **self.further}

    def text(self) -> str:
        """The split as a list to publish: split, label and name, one image per line."""
        return "".join(
            f"{split}\t{label}\t{name}\n"
            for split, images in self.splits.items()
            for name, label in zip(images.names, images.labels, strict=True)
        )


def fetch_command(name: str) -> str:
    return f"`python -m hpc_xfer.datasets fetch {name}`"


def find_folder(root: Path, name: str, within: Sequence[str], marker: str) -> Path:
    """Return the first of the folders `within` the root that has the file or folder `marker`.

    Raises:
        DataError: there is no such folder.
    """
    if not root.is_dir():
        raise DataError(
            f"{root}: no such folder; correct data set {name!r} in the site file, or run "
            f"{fetch_command(name)}"
        )
    for inner in within:
        if (root / inner / marker).exists():
            return root / inner
    raise DataError(
        f"{root}: has no {Path(within[0]) / marker}, so {name} is not here or not unpacked; "
        f"correct the folder in the site file, or run {fetch_command(name)}"
    )


def read_list(path: Path) -> bytes:
    """Read a list of images as bytes: a regular file, which may be a link, of bounded size.

    Raises:
        OddFile: it is a pipe, a device, or too large.
        OSError: it cannot be read.
    """
    return atomic_files.read_bytes(path, _MOST_LIST, follow=True)


def read_lines(path: Path) -> list[str]:
    """Read the lines of a list that are not blank.

    Raises:
        DataError: it is missing, empty, cut off within a character, or not text.
    """
    try:
        text = read_list(path).decode("utf-8")
    except (OSError, UnicodeDecodeError, OddFile) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the data set again") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path}: is empty; fetch the data set again")
    return lines


def visible(folder: Path) -> list[Path]:
    """Entries of a folder without hidden ones: macOS leaves `._photo.jpg` beside photo.jpg."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check it") from error


def is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def check_listing(listing: Listing) -> Listing:
    """Refuse an image that is listed twice, is in two splits, or is not on disk.

    Raises:
        DataError: it names the first such image.
    """
    seen: dict[str, str] = {}
    for split, images in listing.splits.items():
        for name in images.names:
            if name in seen:
                where = (
                    f"twice in {split}" if seen[name] == split else f"in {seen[name]} and {split}"
                )
                raise DataError(
                    f"{listing.folder / name}: is listed {where}; fetch the data set again"
                )
            seen[name] = split
    if missing := _missing(listing.folder, seen):
        more = f" ({len(missing):,} are missing)" if len(missing) > 1 else ""
        raise DataError(
            f"{listing.folder / missing[0]}: is listed but missing{more}; fetch or unpack the data "
            "set again"
        )
    return listing


def _missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Names without a file. Each folder is listed once: on a network a stat takes 1 ms a file."""
    there: dict[str, set[str]] = {}
    missing = []
    for name in names:
        parent, _, base = name.rpartition("/")
        if parent not in there:
            there[parent] = _files(folder / parent)
        if base not in there[parent]:
            missing.append(name)
    return missing


def _files(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except OSError:
        return set()


def check_label(path: Path, line: int, label: int, folder: str, expected: Sequence[str]) -> None:
    """Compare a label of a list with the class that the image's name tells.

    Raises:
        DataError: the label is out of range, or belongs to another class.
    """
    if not 0 <= label < len(expected):
        raise DataError(
            f"{path}:{line}: label {label} is not one of the {len(expected)} classes; fetch the "
            "list again"
        )
    if expected[label] != folder:
        raise DataError(
            f"{path}:{line}: gives {folder!r} the label {label}, which belongs to "
            f"{expected[label]!r}; fetch the list again"
        )
