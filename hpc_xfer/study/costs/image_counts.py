"""Count the images of downstream data sets before anybody has fetched them."""

from collections.abc import Iterable

from hpc_xfer.config.dataset_cards import CARDS, DatasetCard, card
from hpc_xfer.config.downstream_datasets import PACKAGED, dataset_info, held_out_count
from hpc_xfer.config.site import Site
from hpc_xfer.errors import XferError
from hpc_xfer.study.cost_estimate import ImageCounts, counts_of

_TEST_SHARE = 0.2  # of a data set whose owners made no split


def _of_card(facts: DatasetCard) -> ImageCounts | None:
    """Count by the facts of a data set; where images are left out, by the owners' lists."""
    train, test, val = (
        getattr(facts.counts, split) or getattr(facts.listed, split)
        for split in ("train", "test", "val")
    )
    if train is None:
        return None
    test = test or held_out_count(train, _TEST_SHARE)
    # A further test set without an archive of its own comes with the data set.
    comes_along = (each for each in facts.further.values() if not each.archives)
    test += sum(each.count or each.listed or 0 for each in comes_along)
    return ImageCounts(train, test, len(facts.classes), len(facts.templates), val=val or 0)


def known_counts(datasets: Iterable[str], site: Site) -> dict[str, ImageCounts]:
    """Count by what is packaged, else by the folder that the site names; leave out the others."""
    found = {}
    for name in dict.fromkeys(datasets):
        counts = _counts(name, site)
        if counts is not None:
            found[name] = counts
    return found


def _counts(name: str, site: Site) -> ImageCounts | None:
    if name in PACKAGED:
        return counts_of(PACKAGED[name])
    if name in CARDS:
        return _of_card(card(name))
    try:
        return counts_of(dataset_info(name, site.dataset(name)))
    except XferError:  # not there yet: its size is assumed, and the estimate says so
        return None
