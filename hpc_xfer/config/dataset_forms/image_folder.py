"""Image folders: `train/CLASS/*` and `test/CLASS/*`; classes are the folders in sorted order.

Images of a class lie in its folder itself, under one of the suffixes in `listing.IMAGE_SUFFIXES`.
All else is counted and named: to use it would change data sets that studies have used already.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpc_xfer.config.dataset_forms import split_names
from hpc_xfer.config.dataset_forms.listing import IMAGE_SUFFIXES, is_image
from hpc_xfer.errors import DataError

SPLITS = ("train", "test")
# Suffixes of images that Pillow reads, but that are not looked for.
_FURTHER_SUFFIXES = frozenset(
    {".apng", ".avif", ".avifs", ".bw", ".dds", ".dib", ".icns", ".ico", ".j2c", ".j2k", ".jfif",
     ".jp2", ".jpc", ".jpe", ".jpf", ".jpx", ".mpo", ".pbm", ".pcx", ".pnm", ".psd", ".qoi",
     ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".xbm", ".xpm"}
)  # fmt: skip
# Suffixes of images that another program has to convert.
_FOREIGN_SUFFIXES = frozenset(
    {".arw", ".cr2", ".cr3", ".dcm", ".dng", ".exr", ".hdr", ".heic", ".heif", ".jxl", ".nef",
     ".raw", ".svg"}
)  # fmt: skip
_OF_SYSTEMS = frozenset({"thumbs.db", "desktop.ini"})  # left by file managers
_MOST_LINKS = 10_000  # that are followed to their files: on a network file system each takes 1 ms


@dataclass(frozen=True)
class ScannedFolder:
    """The images of a folder by class, and sentences about what is left out."""

    images: dict[str, list[Path]]
    notes: tuple[str, ...]
    dangling: str | None = None  # the sentence on links that lead nowhere, which are in `images`


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
        return tuple(self.note(kind, folder) for kind in sorted(self.counts))

    def note(self, kind: str, folder: Path) -> str:
        number = self.counts[kind]
        return (
            f"{number:,} {_SENTENCES[kind][number != 1]}, the first "
            f"{self.first[kind].relative_to(folder)}{_CURES[kind]}"
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
    "foreign": (
        "image of a format that is not decoded is not used",
        "images of formats that are not decoded are not used",
    ),
    "hidden": ("hidden image or folder is not used", "hidden images or folders are not used"),
    "other": (
        "file without the suffix of an image is not used",
        "files without the suffix of an image are not used",
    ),
    "dangling": ("image is a link that leads nowhere", "images are links that lead nowhere"),
    "links": ("more link is not followed here", "more links are not followed here"),
}
_CURES = {
    "deeper": "; move them into the folder of the class to use them",
    "suffix": f"; rename them to one of {' '.join(sorted(IMAGE_SUFFIXES))} to use them",
    "beside": "; move them into a class folder to use them",
    "foreign": "; convert them to use them",
    "hidden": "",
    "other": "",
    "dangling": "; bring its image back or remove the link",
    "links": ": only reading them tells whether they lead to images",
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
    dangling = left_out.note("dangling", folder) if left_out.counts["dangling"] else None
    return ScannedFolder(images, left_out.notes(folder), dangling)


def split_notes(folder: Path, scanned: Sequence[ScannedFolder]) -> tuple[str, ...]:
    """Say what is left out of the splits, and what lies beside them and is not read.

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
    loose = sorted(entry.name for entry in _entries(folder) if is_image(Path(entry.name)))
    loose = [name for name in loose if name not in others and not name.startswith(".")]
    if loose:
        images = "1 image" if len(loose) == 1 else f"{len(loose):,} images"
        notes.append(f"{images} beside train/ and test/ left unread, the first {loose[0]}")
    return tuple(notes)


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
        else:
            _add_other(path, left_out)
    # Splits are told to be splits before their lack of images is told.
    named = [path for path in classes if split_names.split_in(path.name)]
    nested = [path.name for path in named if _holds_folders_alone(path)]
    split_names.check_no_nested_splits(folder, nested)
    return sorted(classes)


def _holds_folders_alone(folder: Path) -> bool:
    """Return whether there are folders inside, and no image."""
    entries = [entry for entry in _entries(folder) if not entry.name.startswith(".")]
    return any(map(_is_folder, entries)) and not any(is_image(Path(each.name)) for each in entries)


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
        else:
            _add_other(path, left_out)


def _leads_to_file(path: Path, left_out: _LeftOut) -> bool:
    """Return whether a link is an image. One that leads nowhere stays one: reading it tells so."""
    if not is_image(path):
        if path.is_dir():
            _add_deeper(path, left_out)
        else:
            _add_other(path, left_out)
        return False
    left_out.links += 1
    if left_out.links > _MOST_LINKS:
        left_out.add("links", path)
    elif path.is_dir():
        _add_deeper(path, left_out)
        return False
    elif not path.exists():
        left_out.add("dangling", path)
    return True


def _add_other(path: Path, left_out: _LeftOut) -> None:
    """Count a file that is not used, but not what file managers leave."""
    suffix = path.suffix.lower()
    if suffix in _FURTHER_SUFFIXES:
        left_out.add("suffix", path)
    elif suffix in _FOREIGN_SUFFIXES:
        left_out.add("foreign", path)
    elif path.name.lower() not in _OF_SYSTEMS:
        left_out.add("other", path)


def _add_hidden(entry: os.DirEntry[str], left_out: _LeftOut) -> None:
    """Count hidden images and folders, but not what macOS leaves beside each file."""
    path = Path(entry.path)
    if not entry.name.startswith("._") and (is_image(path) or entry.is_dir(follow_symlinks=False)):
        left_out.add("hidden", path)


def _add_deeper(folder: Path, left_out: _LeftOut) -> None:
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            if name.startswith("."):
                continue
            if is_image(path):
                left_out.add("deeper", path)
            else:
                _add_other(path, left_out)


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
