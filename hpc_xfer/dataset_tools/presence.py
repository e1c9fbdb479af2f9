"""See whether a data set is where it should be, by listing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.config.dataset_cards import CARDS, DatasetCard, card
from hpc_xfer.config.dataset_forms import cifar100, official
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import PACKAGED, DatasetInfo, copies_in, dataset_info
from hpc_xfer.config.own_datasets.remarks import remarks
from hpc_xfer.config.site import Site
from hpc_xfer.errors import XferError


@dataclass(frozen=True)
class Presence:
    """Presence of a data set; if it is absent, why, in a sentence."""

    is_there: bool
    problem: str | None = None
    lacking: tuple[str, ...] = ()  # further test sets that are not there
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetRow:
    """One data set in the list: its card, its place, its presence."""

    name: str
    title: str
    classes: int | None
    images: dict[str, int]  # by split, where known
    listed: dict[str, int]  # in the owners' lists, where some of them are left out
    licence: str | None
    archive_bytes: int | None  # None where a card states no size
    further: dict[str, int | None]  # further test sets, and their images where known
    place: str | None  # path in the site file; None where it is not in it
    presence: Presence


def look(facts: DatasetCard, root: Path, must_be_there: bool = False) -> Presence:
    """List a packaged data set in `root`.

    Raises:
        DataError: it is not there, where `must_be_there`.
    """
    try:
        if official.is_listed(facts.name):
            listing = official.list_official(facts, root, None)
            found, notes = set(listing.further), listing.notes
        else:
            official.check_pickles(facts, root, None)
            files = cifar100.pickle_files(facts, root)
            found, notes = set(files), cifar100.notes(files)
    except XferError as error:
        if must_be_there:
            raise
        return Presence(False, str(error), tuple(facts.further))
    return Presence(True, None, tuple(sorted(set(facts.further) - found)), notes)


def rows(site: Site) -> list[DatasetRow]:
    """Describe every data set: built in, packaged, and named in the site file."""
    names = dict.fromkeys([*PACKAGED, *CARDS, *site.datasets])
    return [_row(name, site.dataset(name)) for name in names]


def _row(name: str, place: Location | None) -> DatasetRow:
    info, presence = _find(name, place)
    facts = card(name) if name in CARDS else None
    sizes = [archive.bytes for archive in facts.archives] if facts else []
    return DatasetRow(
        name=name,
        title=info.title if info else facts.title if facts else name,
        classes=len(facts.classes) if facts else len(info.classes) or None if info else None,
        images=_images(info, facts),
        listed=_known(facts.listed.model_dump()) if facts else {},
        licence=facts.licence if facts else None,
        archive_bytes=sum(filter(None, sizes)) if sizes and None not in sizes else None,
        further={key: other.count for key, other in facts.further.items()} if facts else {},
        place=str(place.path) if place else None,
        presence=presence,
    )


def _find(name: str, place: Location | None) -> tuple[DatasetInfo | None, Presence]:
    if place is None and name not in PACKAGED:
        return None, Presence(False, None, tuple(card(name).further))
    try:
        info = dataset_info(name, place)
    except XferError as error:
        return None, Presence(False, str(error))
    further = card(name).further if name in CARDS else {}
    lacking = tuple(sorted(set(further) - set(info.test_sets)))
    copies = () if place is None else copies_in(name, place)
    return info, Presence(True, None, lacking, (*info.notes, *remarks(info), *copies))


def _images(info: DatasetInfo | None, facts: DatasetCard | None) -> dict[str, int]:
    """Count the images that are there, else those of the card."""
    if info is not None and info.complete:
        return _known({"train": info.train, "val": info.official_val, "test": info.test})
    return _known(facts.counts.model_dump()) if facts else {}


def _known(counts: Mapping[str, int | None]) -> dict[str, int]:
    return {split: count for split, count in counts.items() if count}
