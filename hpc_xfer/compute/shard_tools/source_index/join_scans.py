"""Join the scans of all shards of a source: its classes, and what is odd in it."""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.compute.shard_tools import class_names
from hpc_xfer.compute.shard_tools.source_index.scan_shard import (
    FIELDS_BESIDE_IMAGES,
    Found,
    ShardScan,
)
from hpc_xfer.compute.shards import captions
from hpc_xfer.config.shard_files.oddity import NO_SAMPLE, Counted, Oddity, Part
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError

_ORDER = ("image", None, "txt", "json", "label")  # of warnings
_KEYS_TOLD = 10
_PARTS: dict[str, Part] = {"txt": "txt", "json": "json", "cls": "label"}


@dataclass(frozen=True)
class InShards:
    """An oddity of the source, and the number of shards that have it."""

    oddity: Oddity
    shards: int

    def sentence(self, index: ShardIndex) -> str:
        where = f"in {self.shards:,} of {len(index.entries):,} shards, "
        return self.oddity.sentence(index.samples, len(index.classes or ()), where)


@dataclass(frozen=True)
class Classes:
    """The classes of a source, from its good labels."""

    names: tuple[str, ...] | None
    bad: tuple[InShards, ...]  # labels that are not among them
    without_samples: Oddity | None


def count_oddities(scans: Sequence[ShardScan]) -> list[InShards]:
    """Add up what is odd in the samples of all shards."""
    whats = list(dict.fromkeys(what for scan in scans for what in scan.oddities))
    whats.sort(key=lambda what: _ORDER.index(what[1]))
    found = [
        _counted(*what, [(scan, scan.oddities[what]) for scan in scans if what in scan.oddities])
        for what in whats
    ]
    fields = frozenset[str]().union(*(scan.fields for scan in scans))
    for each in sorted(fields.intersection(FIELDS_BESIDE_IMAGES)):
        lacking = [(scan, scan.lacking[each]) for scan in scans if each in scan.lacking]
        if lacking:
            found.append(_counted(f"no {each}, unlike others", _PARTS[each], lacking))
    return found + _files_left_out(scans)


def _files_left_out(scans: Sequence[ShardScan]) -> list[InShards]:
    """Add up the files in tars that belong to no sample."""
    found: dict[str, list[tuple[ShardScan, Found]]] = {}
    for scan in scans:
        for each in scan.left_out:
            found.setdefault(each.what, []).append((scan, (each.number, each.first, "")))
    return [_counted(what, None, told, "files") for what, told in found.items()]


def find_classes(folder: Path, scans: Sequence[ShardScan], label_key: str | None) -> Classes:
    """Name the classes by the good labels: class numbers, or names.

    Where numbers and names are mixed, the more frequent kind is good.

    Raises:
        DataError: no sample has a label under `label_key`, or classes.json is no list of names.
    """
    found = [_Label(label, scan, told) for scan in scans for label, told in scan.labels.items()]
    if label_key is not None and not found:
        raise DataError(
            f"{folder}: no sample has a class number or a name under {label_key!r} in its json; "
            f"correct --label-key{_keys_there(scans)}"
        )
    names = class_names.listed(folder)
    is_number = Counter[bool]()
    for each in found:
        is_number[isinstance(each.label, int)] += each.told[0]
    kind = int if is_number[True] >= is_number[False] else str
    mixed = [each for each in found if not isinstance(each.label, kind)]
    of_kind = [each for each in found if isinstance(each.label, kind)]
    allowed = _allowed(names)
    outside = [each for each in of_kind if not allowed(each.label)]
    good = {each.label for each in of_kind if allowed(each.label)}
    bad = (
        _bad_labels("a label of another kind than most (numbers and names)", mixed),
        _bad_labels(f"a label outside of {_limit(names)}", outside),
        _bad_labels("a label that may stand for none", _like_none(of_kind), spoils=None),
        _bad_labels("labels that differ in spaces or capitals alone", _alike(of_kind), spoils=None),
    )
    numbers = {label for label in good if isinstance(label, int)}
    texts = {label for label in good if isinstance(label, str)}
    classes = class_names.load(folder, texts or 1 + max(numbers, default=-1))
    return Classes(
        classes,
        tuple(each for each in bad if each is not None),
        _without_samples(classes or (), numbers, texts) if good else None,
    )


@dataclass(frozen=True)
class _Label:
    """A label in one shard."""

    label: int | str
    scan: ShardScan
    told: Found


def _allowed(names: tuple[str, ...] | None) -> Callable[[int | str], bool]:
    """Make the test of a label: it has a name, or needs none."""
    limit, known = class_names.MOST if names is None else len(names), frozenset(names or ())
    return lambda label: (
        label < limit if isinstance(label, int) else names is None or label in known
    )


def _limit(names: tuple[str, ...] | None) -> str:
    if names is None:
        return f"0 to {class_names.MOST - 1:,} (ids are no class numbers)"
    return f"the {len(names):,} classes of {class_names.NAME}"


def _like_none(labels: Sequence[_Label]) -> list[_Label]:
    """Find names such as `nan`: a missing value or, now and then, a class."""
    return [each for each in labels if str(each.label).strip().lower() in captions.NONE]


def _alike(labels: Sequence[_Label]) -> list[_Label]:
    """Find names that a person would take for one class."""
    spellings: dict[str, set[int | str]] = {}
    for each in labels:
        spellings.setdefault(_plain(each.label), set()).add(each.label)
    return [each for each in labels if len(spellings[_plain(each.label)]) > 1]


def _plain(label: int | str) -> str:
    return " ".join(str(label).split()).lower()


def _bad_labels(
    what: str, found: Sequence[_Label], spoils: Part | None = "label"
) -> InShards | None:
    if not found:
        return None
    return _counted(
        what, spoils, [(each.scan, (*each.told[:2], f": {each.label!r}")) for each in found]
    )


def _without_samples(classes: Sequence[str], numbers: Set[int], texts: Set[str]) -> Oddity | None:
    """Count the classes that have a name or a number, and no sample."""
    without = [
        number for number, name in enumerate(classes) if number not in numbers and name not in texts
    ]
    if not without:
        return None
    first, name = without[0], classes[without[0]]
    told = f"{first}" if name == str(first) else f"{first} ({name})"
    hint = "; classes seem to be numbered from 1" if without == [0] else ""
    return Oddity(NO_SAMPLE, len(without), f"{told}{hint}", of="classes")


def _keys_there(scans: Sequence[ShardScan]) -> str:
    keys = sorted(frozenset[str]().union(*(scan.json_keys for scan in scans)))
    return f"; some keys there: {', '.join(keys[:_KEYS_TOLD])}" if keys else ""


def _counted(
    what: str,
    spoils: Part | None,
    found: Sequence[tuple[ShardScan, Found]],
    of: Counted = "samples",
) -> InShards:
    (scan, (_, key, details)), *_ = found
    first = f"{key} in {scan.entry.name}{details}"
    shards = len({scan.entry.name for scan, _ in found})
    return InShards(Oddity(what, sum(told[0] for _, told in found), first, spoils, of), shards)
