"""Odd things in the samples of a source, as `shards index` counts them and the index keeps them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# A part of a sample that an oddity makes unusable; training skips it where it needs this part.
Part = Literal["image", "txt", "json", "label"]
Counted = Literal["samples", "classes", "files"]
NO_IMAGE = "no image"
NO_SAMPLE = "a class without samples"


@dataclass(frozen=True)
class Oddity:
    """Samples of one kind, classes without samples, or files in shards that belong to no sample."""

    what: str  # "a txt that is not UTF-8"
    count: int
    first: str  # "x/2 in 00003.tar"
    spoils: Part | None = None  # None: unusual, but of use
    of: Counted = "samples"

    def sentence(self, samples: int, classes: int, where: str = "") -> str:
        """Say it in one line.

        Args:
            samples: of the source, as `classes`.
            where: as "in 2 of 3 shards, ".
        """
        first = f"{where}the first {self.first}"
        if self.of == "files":
            return f"left out of the shards: {self.count:,} {self.what}, {first}"
        total = samples if self.of == "samples" else classes
        return f"{self.what}: {self.count:,} of {total:,} {self.of}, {first}"


def parsed(value: Any) -> tuple[Oddity, ...]:
    """Read oddities from the JSON of an index.

    Raises:
        KeyError, TypeError, ValueError: it is not what `as_json` made.
    """
    return tuple(
        Oddity(
            str(each["what"]),
            int(each["count"]),
            str(each["first"]),
            each.get("spoils"),
            each.get("of", "samples"),
        )
        for each in value
    )


def as_json(oddities: Sequence[Oddity]) -> list[dict[str, object]]:
    return [
        {
            "what": each.what,
            "count": each.count,
            "first": each.first,
            **({} if each.spoils is None else {"spoils": each.spoils}),
            **({} if each.of == "samples" else {"of": each.of}),
        }
        for each in oddities
    ]


def spoiling(oddities: Sequence[Oddity], parts: Sequence[str]) -> Iterator[Oddity]:
    """Yield those that make one of these parts of samples unusable."""
    return (each for each in oddities if each.spoils in parts)
