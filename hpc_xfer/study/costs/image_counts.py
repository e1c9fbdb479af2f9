"""Count the images of downstream data sets before anybody has fetched them."""

from collections.abc import Iterable

from hpc_xfer.config.dataset_cards import CARDS, card
from hpc_xfer.config.downstream_datasets import PACKAGED, dataset_info, held_out_count
from hpc_xfer.config.site import Site
from hpc_xfer.errors import XferError
from hpc_xfer.study.cost_estimate import ImageCounts, counts_of

_TEST_SHARE = 0.2  # of a data set whose owners made no split


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
        known = card(name)
        train, test = known.counts.train, known.counts.test
        if train is not None:
            test = test or held_out_count(train, _TEST_SHARE)
            return ImageCounts(train, test, len(known.classes), len(known.templates))
    try:
        return counts_of(dataset_info(name, site.dataset(name)))
    except XferError:  # not there yet: its size is assumed, and the estimate says so
        return None
