"""Odd things in the samples of a source, as `shards index` counts them and the index keeps them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# A part of a sample that an oddity makes unusable; training skips it where it needs this part.
Part = Literal["image", "txt", "json", "label"]
NO_IMAGE = "no image"
NO_SAMPLE = "a class without samples"


@dataclass(frozen=True)
class Oddity:
    """Samples of one kind, or classes without samples."""

    what: str  # "a txt that is not UTF-8"
    count: int
    first: str  # "x/2 in 00003.tar"
    spoils: Part | None = None  # None: unusual, but of use


def parsed(value: Any) -> tuple[Oddity, ...]:
    """Read oddities from the JSON of an index.

    Raises:
        KeyError, TypeError, ValueError: it is not what `as_json` made.
    """
    return tuple(
        Oddity(str(each["what"]), int(each["count"]), str(each["first"]), each.get("spoils"))
        for each in value
    )


def as_json(oddities: Sequence[Oddity]) -> list[dict[str, object]]:
    return [
        {
            "what": each.what,
            "count": each.count,
            "first": each.first,
            **({} if each.spoils is None else {"spoils": each.spoils}),
        }
        for each in oddities
    ]


def spoiling(oddities: Sequence[Oddity], parts: Sequence[str]) -> Iterator[Oddity]:
    """Yield those that make one of these parts of samples unusable."""
    return (each for each in oddities if each.spoils in parts)
