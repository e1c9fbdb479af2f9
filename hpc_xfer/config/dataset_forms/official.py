"""List a packaged data set and compare it with its card."""

from collections.abc import Callable
from pathlib import Path

from hpc_xfer.config.dataset_cards import DatasetCard, SplitCounts
from hpc_xfer.config.dataset_forms import (
    cassava,
    cct20,
    cifar100,
    class_folders,
    domainnet,
    dtd,
    pets,
)
from hpc_xfer.config.dataset_forms.listing import Listing, fetch_command
from hpc_xfer.errors import DataError

# cifar100 is not among them: its images are inside pickles, so they have no names to list.
_LISTED: dict[str, Callable[[DatasetCard, Path], Listing]] = {
    "dtd": dtd.listing,
    "caltech101": class_folders.caltech101,
    "pets": pets.listing,
    "real": domainnet.listing,
    "clipart": domainnet.listing,
    "eurosat": class_folders.eurosat,
    "cassava": cassava.listing,
    "cct20": cct20.listing,
}

# Of rare animals a split may have no image; every class of the other data sets is in every split.
_CLASSES_MAY_BE_ABSENT = frozenset({"cct20"})


def is_listed(name: str) -> bool:
    """Return whether the data set is made of image files."""
    return name in _LISTED


def list_official(card: DatasetCard, root: Path, subset: SplitCounts | None) -> Listing:
    """List a data set of image files in its owners' form.

    Args:
        subset: what is expected instead of the card's counts, where a part is used on purpose.

    Raises:
        DataError: a file, class or image is missing, one too many, or of another class.
    """
    listing = _LISTED[card.name](card, root)
    expected = card.counts if subset is None else subset
    found = {split: len(images) for split, images in listing.splits.items()}
    _compare(card.name, root, expected, found)
    if card.name not in _CLASSES_MAY_BE_ABSENT:
        _check_classes(card, root, listing)
    if subset is None:
        in_lists = {split: images.listed for split, images in listing.splits.items()}
        _compare(card.name, root, card.listed, in_lists)
        for name, further in card.further.items():
            wanted = (further.count, found), (further.listed, in_lists)
            for number, counts in wanted:
                if number is not None and counts.get(name, number) != number:
                    raise DataError(_wrong(card.name, root, f"{name} test", counts[name], number))
    return listing


def check_pickles(card: DatasetCard, root: Path, subset: SplitCounts | None) -> SplitCounts:
    """Check the pickles of CIFAR-100 as far as can be seen without reading them.

    Raises:
        DataError: a pickle is missing or cut off.
    """
    counts = card.counts if subset is None else subset
    cifar100.check(card, root, {"train": counts.train, "test": counts.test})
    return counts


def _check_classes(card: DatasetCard, root: Path, listing: Listing) -> None:
    for split, images in (("training", listing.train), ("test", listing.test)):
        counts = images.counts(len(card.classes))
        if 0 in counts:
            raise DataError(
                f"{root}: class {card.folders[counts.index(0)]!r} of {card.name} has no {split} "
                f"images; run {fetch_command(card.name)}, or add one to your subset"
            )


def _compare(name: str, root: Path, expected: SplitCounts, found: dict[str, int]) -> None:
    words = {"train": "training", "val": "validation", "test": "test"}
    for split, word in words.items():
        number = getattr(expected, split)
        if number is not None and found.get(split, 0) != number:
            raise DataError(_wrong(name, root, word, found.get(split, 0), number))


def _wrong(name: str, root: Path, split: str, found: int, expected: int) -> str:
    return (
        f"{root}: has {found:,} {split} images, expected {expected:,} of {name}; run "
        f"{fetch_command(name)}, or state `counts` in the site file if a subset is meant"
    )
