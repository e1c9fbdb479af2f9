"""Take typed values from JSON that may come from anybody: types, sizes and names are checked.

    count(shard, "samples")          # of the object `shard`; an OddValue says what is odd about it

Nothing is converted: "15" is no number, and neither are 15.0 and true.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

MOST_COUNT = 2**63 - 1
_MOST_TEXT = 4096  # characters
_DOTS = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")  # no, one or two dots as a part of a path
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class OddValue(ValueError):
    """A value that is not what stands under its key."""


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object.

    Raises:
        OddValue: it is something else.
    """
    if not isinstance(value, dict):
        raise OddValue(f"{what} is no object")
    return value


def items(value: Mapping[str, Any], key: str, most: int) -> list[Any]:
    """Return the list under a key, empty where the key is absent.

    Raises:
        OddValue: it is something else, or longer.
    """
    found = value.get(key, [])
    if not isinstance(found, list):
        raise OddValue(f"{key} is no list")
    if len(found) > most:
        raise OddValue(f"{key} has {len(found):,} items, more than {most:,}")
    return found


def texts(value: Mapping[str, Any], key: str, most: int) -> tuple[str, ...]:
    """Return the list of texts under a key, empty where the key is absent.

    Raises:
        OddValue: it is something else, or longer.
    """
    found = items(value, key, most)
    if not all(isinstance(each, str) and len(each) <= _MOST_TEXT for each in found):
        raise OddValue(f"{key} holds what is no text of at most {_MOST_TEXT:,} characters")
    return tuple(found)


def text(value: Mapping[str, Any], key: str, most: int = _MOST_TEXT) -> str:
    """Return the text under a key.

    Raises:
        OddValue: it is absent, something else, or longer.
    """
    found = value.get(key)
    if not isinstance(found, str) or len(found) > most:
        raise OddValue(f"{key} is no text of at most {most:,} characters")
    return found


def text_or_none(value: Mapping[str, Any], key: str, most: int = _MOST_TEXT) -> str | None:
    """Return the text under a key; None where it is absent or null.

    Raises:
        OddValue: it is something else, or longer.
    """
    return None if value.get(key) is None else text(value, key, most)


def word(value: Mapping[str, Any], key: str, words: Collection[str | None]) -> Any:
    """Return one of these words.

    Raises:
        OddValue: it is none of them.
    """
    found = value.get(key)
    if (found is not None and not isinstance(found, str)) or found not in words:
        raise OddValue(f"{key} is none of {', '.join(map(str, words))}")
    return found


def count(value: Mapping[str, Any], key: str, most: int = MOST_COUNT) -> int:
    """Return the whole number under a key, from 0.

    Raises:
        OddValue: it is absent, something else, negative or higher.
    """
    found = value.get(key)
    if type(found) is not int or not 0 <= found <= most:
        raise OddValue(f"{key} is no number from 0 to {most:.0e}")
    return found


def path_below(value: Mapping[str, Any], key: str, suffix: str) -> str:
    """Return the path of a file below a folder, as `part-1/00003.tar`.

    Raises:
        OddValue: it leads elsewhere, holds control characters, or ends in another way.
    """
    found = text(value, key)
    if _DOTS.search(found) or _CONTROL.search(found) or not found.lower().endswith(suffix):
        raise OddValue(f"{key} is no name of a {suffix} below the folder")
    return found
