"""Image folders: `train/CLASS/*` and `test/CLASS/*`; classes are the folders in sorted order.

Images of a class lie in its folder itself, under one of the suffixes in `listing.IMAGE_SUFFIXES`.
All else is counted and named: to use it would change data sets that studies have used already.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpc_xfer.config.dataset_forms.listing import IMAGE_SUFFIXES, is_image
from hpc_xfer.errors import DataError

SPLITS = ("train", "test")
_SPLIT_NAMES = frozenset(
    {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"}
)
# Suffixes of images that a decoder reads, but that are not looked for.
_FURTHER_SUFFIXES = frozenset(
    {".apng", ".avif", ".dib", ".heic", ".heif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpx",
     ".jxl", ".pbm", ".pcx", ".pnm", ".sgi", ".tga"}
)  # fmt: skip
_OF_SYSTEMS = frozenset({"thumbs.db", "desktop.ini"})  # left by file managers
_MOST_LINKS = 10_000  # that are followed to their files: on a network file system each takes 1 ms


@dataclass(frozen=True)
class ScannedFolder:
    """The images of a folder by class, and sentences about what is left out."""

    images: dict[str, list[Path]]
    notes: tuple[str, ...]


@dataclass
class _LeftOut:
    """Counts what is passed over, by kind, and keeps the first of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, Path] = field(default_factory=dict)
    links: int = 0  # followed so far

    def add(self, kind: str, path: Path) -> None:
        self.counts[kind] += 1
        self.first[kind] = min(path, self.first.get(kind, path))

    def notes(self, folder: Path) -> tuple[str, ...]:
        return tuple(
            f"{number:,} {_SENTENCES[kind][number != 1]}, the first "
            f"{self.first[kind].relative_to(folder)}{_CURES[kind]}"
            for kind, number in sorted(self.counts.items())
        )


# Kind -> the words for one and for more.
_SENTENCES = {
    "deeper": (
        "image lies in a folder inside a class and is not used",
        "images lie in folders inside a class and are not used",
    ),
    "suffix": (
        "file with an image suffix that is not looked for is not used",
        "files with an image suffix that is not looked for are not used",
    ),
    "beside": (
        "image beside the class folders is not used",
        "images beside the class folders are not used",
    ),
    "hidden": ("hidden image or folder is not used", "hidden images or folders are not used"),
    "other": ("file is not an image", "files are not images"),
    "dangling": ("image is a link that leads nowhere", "images are links that lead nowhere"),
}
_CURES = {
    "deeper": "; move them into the folder of the class to use them",
    "suffix": f"; rename them to one of {' '.join(sorted(IMAGE_SUFFIXES))} to use them",
    "beside": "; move them into a class folder to use them",
    "hidden": "",
    "other": "",
    "dangling": "; copy its image or remove the link",
}


def list_images(folder: Path) -> dict[str, list[Path]]:
    """List image files by class folder, both sorted by name: the order of class numbers.

    Hidden entries are skipped: macOS leaves `._photo.jpg` beside photo.jpg.

    Raises:
        DataError: there is no such folder, no class folder, or a class without image files.
    """
    return scan(folder).images


def scan(folder: Path) -> ScannedFolder:
    """List images as `list_images` does, and say what is left out.

    No file is looked at but links, of which at most 10,000 are followed.

    Raises:
        DataError: as of `list_images`, or a link to a class folder leads nowhere.
    """
    if not folder.is_dir():
        fault = "is not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {fault}; images go into {folder}/CLASS/")
    left_out = _LeftOut()
    classes = _class_folders(folder, left_out)
    if not classes:
        beside = left_out.counts["beside"]
        flat = f", but {beside:,} image{'s' * (beside != 1)} of no class" if beside else ""
        raise DataError(f"{folder}: has no class folders{flat}; images go into {folder}/CLASS/")
    images = {}
    for path in classes:
        inside = _LeftOut(links=left_out.links)
        images[path.name] = sorted(_images(path, inside))
        if not images[path.name]:
            raise DataError(_empty(path, inside))
        left_out.links = inside.links
        left_out.counts.update(inside.counts)
        for kind, first in inside.first.items():
            left_out.first[kind] = min(first, left_out.first.get(kind, first))
    return ScannedFolder(images, left_out.notes(folder))


def split_notes(folder: Path, scanned: Sequence[ScannedFolder]) -> tuple[str, ...]:
    """Say what is left out of the splits, and which folders beside them are not read.

    Args:
        scanned: the splits, in the order of SPLITS.
    """
    pairs = zip(SPLITS, scanned, strict=True)
    notes = [f"{split}: {note}" for split, found in pairs for note in found.notes]
    others = sorted(
        entry.name
        for entry in _entries(folder)
        if entry.name not in SPLITS and not entry.name.startswith(".") and _is_folder(entry)
    )
    if others:
        folders = "1 folder" if len(others) == 1 else f"{len(others):,} folders"
        notes.append(f"{folders} beside train/ and test/ left unread, the first {others[0]}")
    return tuple(notes)


def check_no_splits(folder: Path, classes: Collection[str]) -> None:
    """Refuse a folder of splits where one of classes is expected.

    Raises:
        DataError: its folders are called train and test, or the like.
    """
    splits = [name for name in classes if name.lower() in _SPLIT_NAMES]
    if len(splits) > 1 or len(splits) == len(classes) > 0:
        inner = next((name for name in splits if name.lower().startswith("train")), splits[0])
        raise DataError(
            f"{folder}: holds {' and '.join(splits)}, which are splits and not classes; name "
            f"{folder / inner}, whose folders are the classes"
        )


def class_name(folder: str) -> str:
    """Turn a folder's name into words for prompts: `golden_retriever` is two words."""
    return folder.replace("_", " ").strip()


def _class_folders(folder: Path, left_out: _LeftOut) -> list[Path]:
    classes = []
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.name.startswith("."):
            _add_hidden(entry, left_out)
        elif _is_folder(entry):
            classes.append(path)
        elif entry.is_symlink() and not path.exists() and not is_image(path):
            raise DataError(
                f"{path}: is a link to {os.readlink(path)}, which does not exist; correct it, or "
                "remove it if it is not a class"
            )
        elif is_image(path) or path.suffix.lower() in _FURTHER_SUFFIXES:
            left_out.add("beside", path)
        elif entry.name.lower() not in _OF_SYSTEMS:
            left_out.add("other", path)
    names = {path.name for path in classes}
    if {name.lower() for name in names} & _SPLIT_NAMES:
        _check_nested_splits(folder, names)
    return sorted(classes)


def _check_nested_splits(folder: Path, names: Collection[str]) -> None:
    """Say that splits are splits before their lack of images is told."""
    splits = [name for name in names if name.lower() in _SPLIT_NAMES]
    if any(_is_folder(entry) for name in splits for entry in _entries(folder / name)):
        check_no_splits(folder, sorted(names))


def _images(folder: Path, left_out: _LeftOut) -> Iterator[Path]:
    """Yield the images of a class folder; add all else to `left_out`."""
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.name.startswith("."):
            _add_hidden(entry, left_out)
        elif entry.is_dir(follow_symlinks=False):
            _add_deeper(path, left_out)
        elif entry.is_symlink():
            if _leads_to_file(path, left_out):
                yield path
        elif is_image(path) and entry.is_file(follow_symlinks=False):
            yield path
        elif path.suffix.lower() in _FURTHER_SUFFIXES:
            left_out.add("suffix", path)
        elif entry.name.lower() not in _OF_SYSTEMS:
            left_out.add("other", path)


def _leads_to_file(path: Path, left_out: _LeftOut) -> bool:
    """Return whether a link is an image. One that leads nowhere stays one: reading it tells so."""
    if not is_image(path):
        if path.is_dir():
            _add_deeper(path, left_out)
        else:
            left_out.add("suffix" if path.suffix.lower() in _FURTHER_SUFFIXES else "other", path)
        return False
    left_out.links += 1
    if left_out.links <= _MOST_LINKS and not path.exists():
        left_out.add("dangling", path)
    return True


def _add_hidden(entry: os.DirEntry[str], left_out: _LeftOut) -> None:
    """Count hidden images and folders, but not what macOS leaves beside each file."""
    path = Path(entry.path)
    if not entry.name.startswith("._") and (is_image(path) or entry.is_dir(follow_symlinks=False)):
        left_out.add("hidden", path)


def _add_deeper(folder: Path, left_out: _LeftOut) -> None:
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            if is_image(path) and not name.startswith("."):
                left_out.add("deeper", path)


def _empty(folder: Path, left_out: _LeftOut) -> str:
    found = "; ".join(left_out.notes(folder))
    what = f"; {found}" if found else "; add some or remove the folder"
    return f"{folder}: holds no image files ({' '.join(sorted(IMAGE_SUFFIXES))}){what}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Follow links: a class may lie elsewhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); check it") from error
