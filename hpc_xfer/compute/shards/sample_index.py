"""What lies where in a tar shard: a table of 80 bytes a sample, where Python's objects take 700.

A process that reads a large source has tables of hundreds of thousands of samples, and a node has
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
    """The samples of a shard in order, each with a key and members by field."""

    names: bytes  # keys, one behind another
    ends: "array[int]"  # of each key in them
    fields: tuple[str, ...]  # all that occur, in no order
    firsts: "array[int]"  # of each sample its first member; at last the number of members
    kinds: "array[int]"  # of each member the number of its field
    offsets: "array[int]"  # of each member in the tar
    sizes: "array[int]"

    def __len__(self) -> int:
        return len(self.ends)

    def key(self, i: int) -> str:
        begin = self.ends[i - 1] if i else 0
        return self.names[begin : self.ends[i]].decode("utf-8", "surrogateescape")

    def members(self, i: int) -> dict[str, ByteRange]:
        """Places by field, as they lie in the tar."""
        return {
            self.fields[self.kinds[at]]: (self.offsets[at], self.sizes[at])
            for at in range(self.firsts[i], self.firsts[i + 1])
        }


class SampleIndexBuilder:
    """Takes the members of a tar one after another."""

    def __init__(self) -> None:
        self._names, self._ends = bytearray(), array("I")
        self._fields: dict[str, int] = {}
        self._firsts, self._kinds = array("I"), array("I")
        self._offsets, self._sizes = array("q"), array("q")
        self._key: str | None = None  # of the last sample
        self._here = set[str]()  # its fields

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, key: str, field: str, offset: int, size: int) -> bool:
        """False where the last sample, of this key, has the field already; it stays as it was."""
        if key != self._key:
            self._begin(key)
        if field in self._here:
            return False
        self._here.add(field)
        self._kinds.append(self._fields.setdefault(field, len(self._fields)))
        self._offsets.append(offset)
        self._sizes.append(size)
        return True

    def _begin(self, key: str) -> None:
        self._key, self._here = key, set()
        self._firsts.append(len(self._kinds))
        self._names += key.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._names))

    def places(self) -> SampleIndex:
        firsts = self._firsts + array("I", [len(self._kinds)])
        fields = tuple(self._fields)
        return SampleIndex(
            bytes(self._names), self._ends, fields, firsts, self._kinds, self._offsets, self._sizes
        )


@dataclass(frozen=True)
class LazySequence(Sequence[T]):
    """A sequence whose items are made when asked for."""

    many: int
    item: Callable[[int], T]

    def __len__(self) -> int:
        return self.many

    def __iter__(self) -> Iterator[T]:
        return map(self.item, range(self.many))

    @overload
    def __getitem__(self, i: int) -> T: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[T]: ...
    def __getitem__(self, i: int | slice) -> T | Sequence[T]:
        if isinstance(i, slice):
            return [self.item(at) for at in range(*i.indices(self.many))]
        return self.item(range(self.many)[i])
