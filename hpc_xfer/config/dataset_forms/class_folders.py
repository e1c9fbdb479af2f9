"""Caltech-101 and EuroSAT: a folder per class and no official split, so the split is ours."""

from collections.abc import Collection, Sequence
from pathlib import Path

from hpc_xfer.config.dataset_cards import DatasetCard
from hpc_xfer.config.dataset_forms import class_splits
from hpc_xfer.config.dataset_forms.listing import Listing, find_folder, is_image, visible
from hpc_xfer.errors import DataError

_CALTECH, _BACKGROUND = "101_ObjectCategories", "BACKGROUND_Google"


def caltech101(card: DatasetCard, root: Path) -> Listing:
    """List Caltech-101 without its background folder, which torchvision leaves out too."""
    within = ("caltech101", "caltech-101", ".")
    folder = find_folder(root, card.name, within, _CALTECH) / _CALTECH
    classes = _class_images(folder, card, ignored=(_BACKGROUND,))
    train, test = class_splits.first_trains(classes, train=30, seed=0)
    return Listing(folder, train=train, test=test)


def eurosat(card: DatasetCard, root: Path) -> Listing:
    folder = find_folder(root, card.name, ("eurosat", "EuroSAT", "."), "2750") / "2750"
    classes = _class_images(folder, card)
    train, test = class_splits.fraction_tests(classes, parts=5, seed=42)
    return Listing(folder, train=train, test=test)


def _class_images(
    folder: Path, card: DatasetCard, ignored: Collection[str] = ()
) -> Sequence[Sequence[str]]:
    """List the images of each class of the card, sorted by name.

    Raises:
        DataError: a class folder is missing, or one too many, or holds fewer than two images.
    """
    found = {path.name for path in visible(folder) if path.is_dir()} - set(ignored)
    if odd := sorted(found ^ set(card.folders)):
        fault = f"is not a class of {card.name}" if odd[0] in found else "is missing"
        raise DataError(f"{folder / odd[0]}: {fault}; unpack the data set again into a new folder")
    images = []
    for name in card.folders:
        files = sorted(path.name for path in visible(folder / name) if is_image(path))
        if len(files) < 2:
            raise DataError(
                f"{folder / name}: one image must train and one must test, but it holds "
                f"{len(files)}; unpack the data set again"
            )
        images.append([f"{name}/{file}" for file in files])
    return images
