"""Describable Textures: lists of partition 1, one path per line."""

from pathlib import Path

from hpc_xfer.config.dataset_cards import DatasetCard
from hpc_xfer.config.dataset_forms.listing import (
    ListedImages,
    Listing,
    check_listing,
    find_folder,
    read_lines,
)
from hpc_xfer.errors import DataError

_PARTITION = 1


def listing(card: DatasetCard, root: Path) -> Listing:
    folder = find_folder(root, card.name, ("dtd/dtd", "dtd", "."), "labels")
    numbers = {name: label for label, name in enumerate(card.folders)}
    lists = {
        split: folder / "labels" / f"{split}{_PARTITION}.txt" for split in ("train", "val", "test")
    }
    splits = {split: _read(path, numbers) for split, path in lists.items()}
    return check_listing(
        Listing(
            folder / "images",
            train=splits["train"],
            val=splits["val"],
            test=splits["test"],
            lists=tuple(lists.values()),
        )
    )


def _read(path: Path, numbers: dict[str, int]) -> ListedImages:
    names = read_lines(path)
    labels = []
    for line, name in enumerate(names, 1):
        label = numbers.get(name.split("/")[0])
        if label is None or name.count("/") != 1:
            raise DataError(
                f"{path}:{line}: {name!r} is not an image of one of the {len(numbers)} textures; "
                "fetch the data set again"
            )
        labels.append(label)
    return ListedImages(tuple(names), tuple(labels))
