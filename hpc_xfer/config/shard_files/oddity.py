"""Odd things in the samples of a source, as `shards index` counts them and the index keeps them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hpc_xfer.config.shard_files import typed_json

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


def parsed(value: Sequence[Any]) -> tuple[Oddity, ...]:
    """Read oddities from the JSON of an index.

    Raises:
        OddValue: it is not what `as_json` made.
    """
    found = (typed_json.mapping(each, "an oddity") for each in value)
    return tuple(
        Oddity(
            typed_json.text(each, "what"),
            typed_json.count(each, "count"),
            typed_json.text(each, "first"),
            typed_json.word(each, "spoils", (None, *get_args(Part))),
            typed_json.word({"of": "samples", **each}, "of", get_args(Counted)),
        )
        for each in found
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
