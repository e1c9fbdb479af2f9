"""Where the samples of a tar shard lie: a table of 80 bytes per sample; Python objects take 700.

A process that reads a large source has tables of hundreds of thousands of samples, and a node runs
dozens of such processes.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

ByteRange = tuple[int, int]  # offset and size in bytes
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SampleIndex:
    """The samples of a shard in order: each has a key and members, one per field."""

    keys: bytes  # all keys, without a separator
    key_ends: "array[int]"  # where each key ends in `keys`
    fields: tuple[str, ...]  # every field that occurs, in no order
    first_members: "array[int]"  # of each sample; one more entry holds the number of members
    member_fields: "array[int]"  # of each member, a number in `fields`
    offsets: "array[int]"  # of each member in the tar
    sizes: "array[int]"  # of each member

    def __len__(self) -> int:
        return len(self.key_ends)

    def key(self, i: int) -> str:
        start = self.key_ends[i - 1] if i else 0
        return self.keys[start : self.key_ends[i]].decode("utf-8", "surrogateescape")

    def members(self, i: int) -> dict[str, ByteRange]:
        """The byte ranges of sample `i` by field, in the order of the tar."""
        return {
            self.fields[self.member_fields[m]]: (self.offsets[m], self.sizes[m])
            for m in range(self.first_members[i], self.first_members[i + 1])
        }


class SampleIndexBuilder:
    """Builds a SampleIndex from the members of a tar, added in order."""

    def __init__(self) -> None:
        self._keys, self._key_ends = bytearray(), array("I")
        self._fields: dict[str, int] = {}
        self._first_members, self._member_fields = array("I"), array("I")
        self._offsets, self._sizes = array("q"), array("q")
        self._key: str | None = None  # of the last sample
        self._present = set[str]()  # fields of the last sample

    def __len__(self) -> int:
        return len(self._key_ends)

    def add(self, key: str, field: str, offset: int, size: int) -> bool:
        """Add a member; False, and nothing is added, where the sample has this field already."""
        if key != self._key:
            self._start_sample(key)
        if field in self._present:
            return False
        self._present.add(field)
        self._member_fields.append(self._fields.setdefault(field, len(self._fields)))
        self._offsets.append(offset)
        self._sizes.append(size)
        return True

    def _start_sample(self, key: str) -> None:
        self._key, self._present = key, set()
        self._first_members.append(len(self._member_fields))
        self._keys += key.encode("utf-8", "surrogateescape")
        self._key_ends.append(len(self._keys))

    def build(self) -> SampleIndex:
        return SampleIndex(
            keys=bytes(self._keys),
            key_ends=self._key_ends,
            fields=tuple(self._fields),
            first_members=self._first_members + array("I", [len(self._member_fields)]),
            member_fields=self._member_fields,
            offsets=self._offsets,
            sizes=self._sizes,
        )


@dataclass(frozen=True)
class LazySequence(Sequence[T]):
    """A sequence that makes an item when it is read."""

    length: int
    item: Callable[[int], T]

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[T]:
        return map(self.item, range(self.length))

    @overload
    def __getitem__(self, i: int) -> T: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[T]: ...
    def __getitem__(self, i: int | slice) -> T | Sequence[T]:
        if isinstance(i, slice):
            return [self.item(j) for j in range(*i.indices(self.length))]
        return self.item(range(self.length)[i])
