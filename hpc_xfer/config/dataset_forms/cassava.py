"""Cassava leaf diseases: `train.csv` of image_id and label, images in train_images/.

The test images of the competition have no public labels, so a part of its training images tests.
"""

import csv
from pathlib import Path

from hpc_xfer.config.dataset_cards import DatasetCard
from hpc_xfer.config.dataset_forms import class_splits
from hpc_xfer.config.dataset_forms.listing import Listing, check_listing, find_folder, read_lines
from hpc_xfer.errors import DataError

_HEADER = ["image_id", "label"]


def listing(card: DatasetCard, root: Path) -> Listing:
    within = (".", "cassava", "cassava-leaf-disease-classification")
    folder = find_folder(root, card.name, within, "train.csv")
    table = folder / "train.csv"
    train, test = class_splits.fraction_tests(_class_images(table, card), parts=5, seed=414)
    return check_listing(Listing(folder / "train_images", train=train, test=test, lists=(table,)))


def _class_images(table: Path, card: DatasetCard) -> list[list[str]]:
    header, *rows = csv.reader(read_lines(table))
    if header[:2] != _HEADER:
        raise DataError(
            f"{table}:1: begins with {','.join(header)}, expected {','.join(_HEADER)}; download "
            "the table again"
        )
    classes: list[list[str]] = [[] for _ in card.folders]
    seen = set()
    for line, row in enumerate(rows, 2):
        if len(row) < 2 or row[1] not in card.folders:
            raise DataError(
                f"{table}:{line}: {','.join(row)!r} is not an image and a label of 0 to "
                f"{len(classes) - 1}; download the table again"
            )
        if row[0] in seen:
            raise DataError(f"{table}:{line}: {row[0]} is listed twice; download the table again")
        seen.add(row[0])
        classes[card.folders.index(row[1])].append(row[0])
    for label, names in enumerate(classes):
        if len(names) < 2:
            raise DataError(
                f"{table}: label {label} has {len(names)} images, but one must train and one must "
                "test; download the table again"
            )
    return [sorted(names) for names in classes]
