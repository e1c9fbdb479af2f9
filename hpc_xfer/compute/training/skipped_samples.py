"""Broken samples that were skipped: their number by shard, and the first reasons."""

from collections.abc import Iterable
from dataclasses import dataclass, field

_EXAMPLES = 100  # reasons in a record, which people read; all samples are counted


@dataclass(frozen=True)
class BrokenSample:
    """A sample that was skipped because it could not be read or decoded."""

    shard: str
    key: str
    why: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.key}: {self.why}"


@dataclass
class BrokenSamples:
    """Broken samples of a whole run; a sample counts each time it is read."""

    shards: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.shards.values())

    def add(self, samples: Iterable[BrokenSample]) -> None:
        for sample in samples:
            self.shards[sample.shard] = self.shards.get(sample.shard, 0) + 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(str(sample))
