"""Samples that were passed over: how many of each shard, and what was wrong with the first."""

from collections.abc import Iterable
from dataclasses import dataclass, field

_EXAMPLES = 100  # a record is read by people; all of them are counted


@dataclass(frozen=True)
class BrokenSample:
    """A sample that was passed over."""

    shard: str
    key: str
    why: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.key}: {self.why}"


@dataclass
class BrokenSamples:
    """Those of a whole run, one count for each time that one was met."""

    shards: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.shards.values())

    def add(self, met: Iterable[BrokenSample]) -> None:
        for sample in met:
            self.shards[sample.shard] = self.shards.get(sample.shard, 0) + 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(str(sample))
