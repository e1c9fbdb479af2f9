"""Read one shard for the index: its bytes for the digest, then what is in its samples.

Each sample is looked at once. Captions, labels and json are small, and in the page cache after the
digest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from hpc_xfer.compute.images import limits
from hpc_xfer.compute.shard_tools import img2dataset
from hpc_xfer.compute.shard_tools.source_index.column_scan import ShardColumns
from hpc_xfer.compute.shards import captions, labels, sample_index_cache
from hpc_xfer.compute.shards.captions import BadCaption
from hpc_xfer.compute.shards.labels import BadJson, BadLabel
from hpc_xfer.compute.shards.passed_over import PassedOver
from hpc_xfer.compute.shards.sample_index import ByteRange
from hpc_xfer.compute.shards.shard import Sample, Shard, most_bytes, open_shard
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_files.oddity import NO_IMAGE, Part
from hpc_xfer.config.shard_index import IMAGE_FIELDS, ShardEntry
from hpc_xfer.errors import DataError

T = TypeVar("T")
_PARTS: dict[str, Part] = {"txt": "txt", "json": "json", "cls": "label"}
_LONG = f"a txt of more than {captions.LONGEST:,} characters, of which the rest is not read"
FIELDS_BESIDE_IMAGES = ("txt", "json", "cls")
MOST_KEYS = 1000  # of the json; more are ids, not names
# Fields that others write and that are read neither as images nor as captions or labels.
_OTHER_IMAGES = frozenset({
    "apng", "dng", "exr", "hdr", "heic", "heif", "ico", "j2k", "jfif", "jpe", "jxl", "npy", "npz",
    "pbm", "pgm", "pnm", "psd", "svg", "tga",
})  # fmt: skip
_OTHER_TEXTS = frozenset({
    "caption", "captions", "class", "label", "target", "text", "transcript",
})  # fmt: skip
Found = tuple[int, str, str]  # number of samples; key of the first, and details of it
What = tuple[str, Part | None]  # what is odd, and the part of the sample that this spoils


@dataclass(frozen=True)
class ShardScan:
    """Contents of one shard."""

    entry: ShardEntry
    fields: frozenset[str]
    labels: Mapping[int | str, Found]  # the good ones, numbers and names
    lacking: Mapping[str, Found]  # samples without a field, by field beside images
    json_keys: frozenset[str]
    texts: Mapping[str, int]  # samples that have a text, by key of the json
    oddities: Mapping[What, Found]
    left_out: tuple[PassedOver, ...]  # files that belong to no sample
    count_problem: str | None  # see img2dataset.py
    columns: ShardColumns


def scan(
    folder: Path, label_key: str | None, columns: Sequence[str], name: str
) -> ShardScan | DataError:
    """Scan a shard. An error is returned: the caller reports the first and counts the others."""
    try:
        path = folder / name
        entry = shard_index.read_entry(folder, name, 0)
        shard = open_shard(path)
        sample_index_cache.write(folder, name, shard)
        scanner = _Scanner(shard, label_key, columns)
        for i in range(len(shard)):
            scanner.look_at(i)
        scanner.count_keys()
        return ShardScan(
            replace(entry, samples=len(shard), layout=shard.layout),
            frozenset(shard.sample_index.fields),
            scanner.labels,
            scanner.lacking,
            frozenset(key for key, _ in scanner.json_keys.most_common(MOST_KEYS)),
            dict(scanner.texts.most_common(MOST_KEYS)),
            scanner.oddities,
            tuple(each._replace(first=_printable(each.first)) for each in shard.passed_over),
            img2dataset.sample_count_problem(path, len(shard)),
            scanner.columns,
        )
    except OSError as error:
        return DataError(f"{folder / name}: cannot be read ({error.strerror}); check the disk")
    except DataError as error:
        return error


class _Scanner:
    """Looks at the samples of a shard, one after another."""

    def __init__(self, shard: Shard, label_key: str | None, columns: Sequence[str]) -> None:
        self.shard, self.label_key = shard, label_key
        self.columns = ShardColumns(columns, shard.keys)
        self.labels: dict[int | str, Found] = {}
        self.lacking: dict[str, Found] = {}
        self.json_keys, self.texts = Counter[str](), Counter[str]()
        self.oddities: dict[What, Found] = {}
        fields = shard.sample_index.fields
        self.unread = {each: what for each in fields if (what := _unread(each)) is not None}
        self.read = [each for each in FIELDS_BESIDE_IMAGES if each in fields]

    def look_at(self, i: int) -> None:
        members = self.shard.sample_index.members(i)
        images = [each for each in IMAGE_FIELDS if each in members]
        if len(images) != 1:
            what = "several images" if images else NO_IMAGE
            taken = f": {images[0]} is taken of {', '.join(images)}" if images else ""
            self._odd(i, what, None if images else "image", taken)
        if images and not members[images[0]][1]:
            self._odd(i, "an empty image", "image", f": {images[0]}")
        if images and members[images[0]][1] > limits.FILE:
            self._odd(i, f"an image of more than {limits.FILE >> 20} MB", "image", f": {images[0]}")
        if self.unread:
            for each in members:
                if each in self.unread:
                    self._odd(i, self.unread[each], None, f": {each}")
        for each in FIELDS_BESIDE_IMAGES:
            if each not in members:
                self._count(self.lacking, each, i)
        if self.read or self.label_key is not None:
            self._look_into(i, self.shard.read(i, self._readable(i, members)))

    def _readable(self, i: int, members: Mapping[str, ByteRange]) -> list[str]:
        """Fields of a sample that are read; those that are too large are counted."""
        readable = []
        for each in self.read:
            if each in members and members[each][1] > (most := most_bytes(each)):
                self._odd(i, f"a {each} of more than {most >> 20} MB", _PARTS[each])
            else:
                readable.append(each)
        return readable

    def count_keys(self) -> None:
        """Count the samples whose key an earlier or later sample has."""
        keys = Counter(self.shard.keys)
        if len(keys) == len(self.shard):
            return
        twice = [key for key in self.shard.keys if keys[key] > 1]
        self.oddities["a key that another has", None] = len(twice), _printable(twice[0]), ""

    def _look_into(self, i: int, sample: Sample) -> None:
        if "txt" in sample:
            try:
                text = captions.caption(sample["txt"])
                if len(text) > captions.LONGEST:
                    self._odd(i, _LONG, None)
            except BadCaption as error:
                empty = str(error) == captions.EMPTY
                self._odd(i, "an empty txt" if empty else f"a txt that {error}", "txt")
        for field in ("txt", "json"):
            if captions.has_lost_bytes(sample.get(field, b"")):
                self._odd(i, f"a {field} with U+FFFD, which stands for lost bytes", None)
        content = self._json(i, sample["json"]) if "json" in sample else {}
        self.columns.add(i, content)
        try:
            if self.label_key is not None:
                self._label(i, labels.json_label(content, self.label_key))
            elif "cls" in sample:
                self._label(i, labels.class_number(sample["cls"]))
        except BadLabel as error:
            where = "cls" if self.label_key is None else f"json: {self.label_key}"
            self._odd(i, f"no usable label ({where})", "label", f": {error}")

    def _label(self, i: int, label: int | str) -> None:
        self._count(self.labels, label, i)
        self.columns.add_label(i, label)

    def _json(self, i: int, data: bytes) -> dict[str, Any]:
        try:
            content = labels.json_object(data)
        except BadJson as error:
            self._odd(i, "a json that is of no use", "json", f": {error}")
            return {}
        self.json_keys.update(content.keys())
        texts = [key for key, value in content.items() if captions.has_text(value)]
        if not texts:
            self._odd(i, "a json without any text", "json")
        self.texts.update(texts)
        return content

    def _odd(self, i: int, what: str, spoils: Part | None, details: str = "") -> None:
        self._count(self.oddities, (what, spoils), i, details)

    def _count(self, found: dict[T, Found], what: T, i: int, details: str = "") -> None:
        count, key, told = found.get(what) or (0, self._key(i), details)
        found[what] = count + 1, key, told

    def _key(self, i: int) -> str:
        return _printable(self.shard.sample_index.key(i))


def _unread(name: str) -> str | None:
    """Say what a field is that looks like a part of a sample and is not read as one."""
    suffix = PurePosixPath(f"x.{name}").suffix[1:]
    known = suffix in IMAGE_FIELDS or suffix in FIELDS_BESIDE_IMAGES
    if suffix != name:
        way = "a key ends at the first dot of its name"
        return f"a field with a dot, which is not read as {suffix} ({way})" if known else None
    if name in _OTHER_IMAGES:
        return f"a field {name}, which is not read (images are {' '.join(IMAGE_FIELDS)})"
    if name in _OTHER_TEXTS:
        return f"a field {name}, which is not read (captions are txt or json, labels cls or json)"
    return None


def _printable(key: str) -> str:
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
