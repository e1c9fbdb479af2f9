"""Caltech Camera Traps-20: COCO annotations, whose boxes give an image its class.

An image with several boxes counts once. Images without an animal or car (category 30) are left out,
and so are the few whose boxes are of two classes: they have no single label.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.config.dataset_cards import DatasetCard
from hpc_xfer.config.dataset_forms.listing import (
    ListedImages,
    Listing,
    check_listing,
    find_folder,
    read_list,
)
from hpc_xfer.errors import DataError

_LISTS, _IMAGES = "eccv_18_annotation_files", "eccv_18_all_images_sm"
_EMPTY = 30  # category id
_FURTHER = "cct20_trans"


@dataclass(frozen=True)
class _Split:
    images: ListedImages
    empty: int
    mixed: int  # images with boxes of two classes


def listing(card: DatasetCard, root: Path) -> Listing:
    folder = find_folder(root, card.name, ("cct20", "."), _LISTS)
    lists = {split: folder / _LISTS / f"{split}_annotations.json" for split in
             ("train", "cis_val", "cis_test", "trans_test")}  # fmt: skip
    notes = []
    if not lists["trans_test"].is_file():
        del lists["trans_test"]
        notes.append(f"the further test set {_FURTHER} is not used: its annotations are absent")
    splits = {split: _read(path, card) for split, path in lists.items()}
    for split, found in splits.items():
        notes.append(
            f"{split}: {found.images.listed:,} images, of which {found.empty:,} without an animal "
            f"or car and {found.mixed:,} with two classes are left out"
        )
    for split in ("train", "cis_test"):
        shown = set(splits[split].images.labels)
        if absent := [name for label, name in enumerate(card.classes) if label not in shown]:
            notes.append(f"{split} has no image of: {', '.join(absent)}")
    further = {_FURTHER: splits["trans_test"].images} if "trans_test" in splits else {}
    return check_listing(
        Listing(
            folder / _IMAGES,
            train=splits["train"].images,
            val=splits["cis_val"].images,
            test=splits["cis_test"].images,
            further=further,
            lists=tuple(lists.values()),
            notes=tuple(notes),
        )
    )


def _read(path: Path, card: DatasetCard) -> _Split:
    labels = {int(number): label for label, number in enumerate(card.folders)}
    try:
        content = json.loads(read_list(path))
        files = {str(image["id"]): str(image["file_name"]) for image in content["images"]}
        listed = len(content["images"])
        _check_names(path, content["categories"], labels, card)
        boxes = _classes_of_images(path, content["annotations"], files, labels)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: is missing, cut off or not annotations ({error}); unpack the annotations "
            "again"
        ) from error
    if len(files) != listed:
        raise DataError(f"{path}: lists an image twice; unpack the annotations again")
    chosen = [(files[key], min(found)) for key, found in boxes.items() if len(found) == 1]
    mixed = sum(len(found) > 1 for found in boxes.values())
    names, numbers = tuple(name for name, _ in chosen), tuple(label for _, label in chosen)
    images = ListedImages(names, numbers, listed=listed)
    return _Split(images, empty=listed - len(chosen) - mixed, mixed=mixed)


def _check_names(
    path: Path, categories: list[dict[str, Any]], labels: Mapping[int, int], card: DatasetCard
) -> None:
    names = {int(category["id"]): str(category["name"]) for category in categories}
    for number, label in labels.items():
        if names.get(number) != card.classes[label]:
            raise DataError(
                f"{path}: category {number} is {names.get(number)!r}, expected "
                f"{card.classes[label]!r}; unpack the annotations again"
            )


def _classes_of_images(
    path: Path, boxes: list[dict[str, Any]], files: Mapping[str, str], labels: Mapping[int, int]
) -> dict[str, set[int]]:
    """Labels of each image that shows something, in the order of the images."""
    found: dict[str, set[int]] = defaultdict(set)
    for box in boxes:
        key, number = str(box["image_id"]), int(box["category_id"])
        if key not in files:
            raise DataError(f"{path}: a box belongs to no image; unpack the annotations again")
        if number == _EMPTY:
            continue
        if number not in labels:
            raise DataError(
                f"{path}: image {key} has category {number}, which is not one of the "
                f"{len(labels)} classes; unpack the annotations again"
            )
        found[key].add(labels[number])
    return {key: found[key] for key in files if key in found}
