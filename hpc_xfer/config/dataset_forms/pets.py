"""Oxford-IIIT Pets: lines of `NAME CLASS-ID SPECIES BREED-ID`; the label is CLASS-ID minus 1."""

from pathlib import Path

from hpc_xfer.config.dataset_cards import DatasetCard
from hpc_xfer.config.dataset_forms.listing import (
    ListedImages,
    Listing,
    check_label,
    check_listing,
    find_folder,
    read_lines,
)
from hpc_xfer.errors import DataError


def listing(card: DatasetCard, root: Path) -> Listing:
    folder = find_folder(root, card.name, ("oxford-iiit-pet", "."), "annotations")
    lists = tuple(folder / "annotations" / f"{split}.txt" for split in ("trainval", "test"))
    train, test = (_read(path, card) for path in lists)
    return check_listing(Listing(folder / "images", train=train, test=test, lists=lists))


def _read(path: Path, card: DatasetCard) -> ListedImages:
    names, labels = [], []
    for line, text in enumerate(read_lines(path), 1):
        if text.startswith("#"):
            continue
        fields = text.split()
        if len(fields) != 4 or not fields[1].isdecimal():
            raise DataError(
                f"{path}:{line}: {text!r} is not a line of an image name and three numbers; fetch "
                "the data set again"
            )
        name, label = fields[0], int(fields[1]) - 1
        check_label(path, line, label, name.rpartition("_")[0], card.folders)
        names.append(f"{name}.jpg")
        labels.append(label)
    return ListedImages(tuple(names), tuple(labels))
