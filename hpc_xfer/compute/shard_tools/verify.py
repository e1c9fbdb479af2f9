"""Check the shards of a folder: open all, decode all, list everything that is wrong.

report = check(folder, workers=8)
report.problems, report.notes
"""

import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from hpc_xfer.compute.images.decode import decode
from hpc_xfer.compute.shard_tools import img2dataset
from hpc_xfer.compute.shard_tools.build_index import each_shard
from hpc_xfer.compute.shard_tools.reencode import (
    FIELD_OF_FORMAT,
    is_animated,
    is_turned,
    open_image,
)
from hpc_xfer.compute.shard_tools.source_index.scan_shard import FIELDS_BESIDE_IMAGES
from hpc_xfer.compute.shards import captions, labels, tar_headers
from hpc_xfer.compute.shards.captions import BadCaption
from hpc_xfer.compute.shards.passed_over import PassedOverCounter, key_and_field
from hpc_xfer.compute.shards.sample_index import ByteRange, SampleIndexBuilder
from hpc_xfer.compute.shards.shard import SPARSE, Shard
from hpc_xfer.compute.shards.tar_damage import DamagedTar
from hpc_xfer.compute.shards.tar_headers import Member
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_files import listing
from hpc_xfer.config.shard_index import IMAGE_FIELDS, ShardEntry, ShardIndex
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.terminal import ProgressCallback

_NO_FILES = {
    "link": "a symbolic link",
    "hard link": "a hard link to a file that is not before it",
    "other": "not a file",
}
_MODES = {"1": "grey", "L": "grey", "LA": "grey", "CMYK": "CMYK", "P": "palette", "RGBA": "alpha"}


@dataclass(frozen=True)
class Problem:
    """Something wrong with a shard or with one sample of it."""

    shard: str
    key: str | None
    what: str
    offset: int | None = None  # of the bytes that are wrong, in the shard


@dataclass(frozen=True)
class LeftOut:
    """Members of tars that belong to no sample: `number` of `what`, a plural."""

    what: str
    number: int
    first: str  # name of the first
    shard: str  # that the first is in


@dataclass(frozen=True)
class CheckReport:
    """Result of a check."""

    samples: int
    problems: list[Problem]
    notes: dict[str, int]  # unusual images that can be read: grey, CMYK, turned by EXIF, ...
    left_out: tuple[LeftOut, ...] = ()
    not_used: tuple[str, ...] = ()  # sentences about what lies in the folder beside the shards


@dataclass(frozen=True)
class _Expected:
    """Contents of the index that hold for all shards."""

    fields: frozenset[str] = frozenset()
    classes: tuple[str, ...] | None = None
    label_key: str | None = None


def check(folder: Path, workers: int = 1, progress: ProgressCallback | None = None) -> CheckReport:
    """Open every shard, decode every image, and compare all with the index.

    Args:
        progress: called with shards done and shards in all.

    Raises:
        DataError: there is no such folder, or a process was killed.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; correct the path")
    index, on_disk, problems = _compare_index(folder)
    entries = {} if index is None else {entry.name: entry for entry in index.entries}
    expected = _Expected()
    if index is not None:
        expected = _Expected(frozenset(index.fields), index.classes, index.label_key)
    tasks = [(name, entries.get(name)) for name in on_disk]
    reports = each_shard(partial(_check_shard, folder, expected), tasks, workers, progress)
    problems += [problem for report in reports for problem in report.problems]
    notes: Counter[str] = Counter()
    for report in reports:
        notes.update(report.notes)
    samples = sum(report.samples for report in reports)
    pattern = None if index is None else index.pattern
    not_used = tuple(each.sentence(folder) for each in listing.unused(folder, on_disk, pattern))
    return CheckReport(samples, problems, dict(sorted(notes.items())), _add_up(reports), not_used)


def _add_up(reports: Sequence[CheckReport]) -> tuple[LeftOut, ...]:
    """Add up what the shards leave out; each keeps its first."""
    found: dict[str, LeftOut] = {}
    for each in (each for report in reports for each in report.left_out):
        known = found.get(each.what)
        found[each.what] = (
            each if known is None else replace(known, number=known.number + each.number)
        )
    return tuple(found.values())


def _compare_index(
    folder: Path,
) -> tuple[ShardIndex | None, dict[str, int], list[Problem]]:
    """Read the index, if there is one; list the shards, and where it differs from their sizes."""
    try:
        index = shard_index.parse(folder)
    except DataError:
        try:
            ShardIndex.load(folder)  # its error says more
        except DataError as error:
            problem = Problem(shard_index.NAME, None, str(error))
            return None, shard_index.list_shards(folder), [problem]
        raise
    on_disk = shard_index.list_shards(folder, index.pattern)
    differences = shard_index.disagreements(index, on_disk)
    return index, on_disk, [Problem(shard_index.NAME, None, what) for what in differences]


def _check_shard(
    folder: Path, expected: _Expected, task: tuple[str, ShardEntry | None]
) -> CheckReport:
    name, entry = task
    try:
        shard, problems = _open_damaged(folder / name, name)
    except (OSError, tarfile.TarError) as error:
        what = f"cannot be read as an uncompressed tar ({error})"
        return CheckReport(0, [Problem(name, None, what)], {})
    problems += [Problem(name, None, what) for what in _check_file(shard, entry)]
    notes: Counter[str] = Counter()
    seen: set[str] = set()
    fields = expected.fields or frozenset(shard.members[0] if shard.keys else ())
    required = fields.intersection(FIELDS_BESIDE_IMAGES)
    for i, key in enumerate(shard.keys):
        members = shard.members[i]
        if key in seen:
            problems.append(Problem(name, key, "the key occurs twice", _start(members)))
        seen.add(key)
        for field in sorted(required - set(members)):
            problems.append(Problem(name, key, f"has no {field}", _start(members)))
        for wrong_field, what in _check_sample(shard, i, expected, notes):
            offset = members[wrong_field][0] if wrong_field else _start(members)
            problems.append(Problem(name, key, what, offset))
    left_out = tuple(LeftOut(*each, name) for each in shard.passed_over)
    return CheckReport(len(shard), problems, dict(notes), left_out)


def _start(members: Mapping[str, ByteRange]) -> int:
    return min(offset for offset, _ in members.values())


def _open_damaged(path: Path, name: str) -> tuple[Shard, list[Problem]]:
    """Open a shard as far as it can be read, where `open_shard` would refuse it."""
    builder, passed_over = SampleIndexBuilder(), PassedOverCounter()
    problems: list[Problem] = []
    try:
        for member in tar_headers.members(path):
            problems += [
                Problem(name, member.name, what, member.offset) for what in _check_member(member)
            ]
            parts = key_and_field(member.name)
            if parts is None or member.kind not in ("file", "sparse"):
                passed_over.add(member)
            elif member.kind == "sparse":
                problems.append(Problem(name, member.name, SPARSE, member.offset))
            elif not builder.add(*parts, member.offset, member.size):
                problems.append(Problem(name, parts[0], f"has two {parts[1]}", member.offset))
    except DamagedTar as damage:
        what = f"{damage.what} after {len(builder):,} samples; {damage.remedy}"
        problems.append(Problem(name, None, what, damage.at))
    return Shard(path, builder.build(), passed_over.build()), problems


def _check_member(member: Member) -> Iterator[str]:
    if member.name.startswith("/"):
        yield "has an absolute path; unpacking would write there"
    if ".." in member.name.split("/"):
        yield "has .. in its path; unpacking would leave the folder"
    if member.kind in _NO_FILES:
        yield f"is {_NO_FILES[member.kind]}; it is left out"


def _check_file(shard: Shard, entry: ShardEntry | None) -> Iterator[str]:
    if not shard.keys:
        yield "holds no samples"
    if entry is not None:
        if atomic_files.sha256(shard.path) != entry.sha256:
            yield "its bytes have changed since it was indexed"
        if len(shard) != entry.samples:
            yield f"holds {len(shard):,} samples where the index says {entry.samples:,}"
    if problem := img2dataset.sample_count_problem(shard.path, len(shard)):
        yield problem


def _check_sample(
    shard: Shard, i: int, expected: _Expected, notes: Counter[str]
) -> Iterator[tuple[str | None, str]]:
    """Yield what is wrong and in which field; None where it is not one field."""
    images = [field for field in IMAGE_FIELDS if field in shard.members[i]]
    if len(images) != 1:
        yield None, f"has {len(images)} images ({', '.join(images) or _NO_IMAGE})"
    checks: dict[str, Callable[[], None]] = {
        field: partial(_check_image, shard, i, field, notes) for field in images
    }
    if "txt" in shard.members[i]:
        checks["txt"] = partial(_check_caption, shard, i)
    if "json" in shard.members[i]:
        checks["json"] = partial(_check_json, shard, i, expected)
    if "cls" in shard.members[i]:
        checks["cls"] = partial(_check_class, shard, i, expected)
    for field, check_field in checks.items():
        try:
            check_field()
        except DataError as error:
            yield field, str(error)


_NO_IMAGE = f"none of {', '.join(IMAGE_FIELDS)}"


def _check_image(shard: Shard, i: int, field: str, notes: Counter[str]) -> None:
    data = shard.read(i, [field])[field]
    with open_image(data, field) as image:  # refuses a decompression bomb
        unusual = list(_unusual(image, data, field))
    decode(data, field)
    notes.update(unusual)


def _unusual(image: Image.Image, data: bytes, field: str) -> Iterator[str]:
    if image.mode in _MODES:
        yield _MODES[image.mode]
    if image.mode.startswith("I"):
        yield "16 bits"
    if is_turned(image):
        yield "turned by EXIF"
    if image.format != "MPO" and is_animated(image, data):
        yield "animated"
    if FIELD_OF_FORMAT.get(image.format or "") != field.replace("jpeg", "jpg"):
        yield "of another format than its name"


def _check_caption(shard: Shard, i: int) -> None:
    try:
        captions.caption(shard.read(i, ["txt"])["txt"])
    except BadCaption as error:
        raise DataError(f"its txt {error}") from None


def _check_json(shard: Shard, i: int, expected: _Expected) -> None:
    content = labels.json_object(shard.read(i, ["json"])["json"])
    if expected.label_key is None:
        return
    label = labels.json_label(content, expected.label_key)
    classes = expected.classes or ()
    if label not in (classes if isinstance(label, str) else range(len(classes))):
        raise DataError(f"has label {label!r}, which is not one of the {len(classes)} classes")


def _check_class(shard: Shard, i: int, expected: _Expected) -> None:
    label = labels.class_number(shard.read(i, ["cls"])["cls"])
    classes = expected.classes
    if expected.label_key is None and classes is not None and label >= len(classes):
        raise DataError(f"has cls {label}, but there are {len(classes)} classes")
