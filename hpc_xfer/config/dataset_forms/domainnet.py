"""Two domains of DomainNet: lists of `real/zebra/real_344_000001.jpg 343`, path and label."""

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
    """List a domain, and the test set of the other one where its images and list are there."""
    lists = find_folder(root, card.name, (".", "txt", "domainnet/txt"), f"{card.name}_train.txt")
    used = [lists / f"{card.name}_{split}.txt" for split in ("train", "test")]
    train, test = (_read(path, card) for path in used)
    further, notes = {}, []
    for other in card.further:
        path = lists / f"{other}_test.txt"
        if path.is_file() and (root / other).is_dir():
            further[other] = _read(path, card)
            used.append(path)
        else:
            notes.append(
                f"the further test set {other} is not used: {path.name} and the folder {other} are "
                f"not both in {root}"
            )
    found = Listing(
        root, train=train, test=test, further=further, lists=tuple(used), notes=tuple(notes)
    )
    return check_listing(found)


def _read(path: Path, card: DatasetCard) -> ListedImages:
    names, labels = [], []
    for line, text in enumerate(read_lines(path), 1):
        name, _, number = text.rpartition(" ")
        parts = name.split("/")
        if len(parts) != 3 or not number.isdecimal():
            raise DataError(
                f"{path}:{line}: {text!r} is not DOMAIN/CLASS/IMAGE and a label; fetch the list "
                "again"
            )
        check_label(path, line, int(number), parts[1], card.folders)
        names.append(name)
        labels.append(int(number))
    return ListedImages(tuple(names), tuple(labels))
