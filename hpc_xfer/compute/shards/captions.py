"""Read captions from the bytes of txt and from the json of samples.

What is not a caption raises BadCaption, with a reason that is the same for all such samples.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from hpc_xfer.errors import DataError

# What pandas and others write where a value is missing, in small letters.
NONE = frozenset({
    "nan", "-nan", "null", "none", "n/a", "na", "<na>", "#n/a", "#n/a n/a", "#na", "nat",
    "undefined", "-1.#ind", "1.#ind", "-1.#qnan", "1.#qnan",
})  # fmt: skip
_LONGEST_NONE = max(map(len, NONE))
EMPTY = "is empty"
LONGEST = 10_000  # characters that become tokens; see models/word_tokenizer.py
_REPLACED = ("\ufffd".encode(), b"\\ufffd", b"\\uFFFD")  # the last two in a json


class BadCaption(DataError):
    """A text that is not a caption; its message is the reason, such as "is not UTF-8"."""


def caption(data: bytes) -> str:
    """Decode the caption in a txt field.

    Raises:
        BadCaption: it is not UTF-8, empty, cut by null bytes, or stands for none.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCaption("is not UTF-8") from None
    text = text.removeprefix("\ufeff").strip()  # a mark that programs of Windows write
    if (why := _problem(text)) is not None:
        raise BadCaption(why)
    return text


def has_lost_bytes(data: bytes) -> bool:
    """Tell whether another program has put U+FFFD in the place of bytes that were not UTF-8."""
    return any(mark in data for mark in _REPLACED)


def texts(value: Any) -> Iterator[str]:
    """Yield the captions in a value of a json: a text, a number, or lists of them.

    What stands for none is left out.
    """
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += reversed(each)
        elif (text := _text(each)) and _problem(text) is None:
            yield text


def has_text(value: Any) -> bool:
    """Tell whether `texts` yields anything; fast, for it is asked of each value of each json."""
    if value is None:
        return False
    kind = type(value)
    if kind is int:
        return True
    if kind is str:
        return bool(value) and _problem(value.strip()) is None
    return next(texts(value), None) is not None


def joined(content: dict[str, Any], keys: Sequence[str]) -> str:
    """Join the captions under these keys of a json, in this order.

    Raises:
        BadCaption: there are none.
    """
    found = [text for key in keys for text in texts(content.get(key))]
    if found:
        return " ".join(found)
    raise BadCaption(f"has no caption (json: {', '.join(keys)})")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number and math.isfinite(value) else ""


def _problem(text: str) -> str | None:
    """Say why a stripped text is not a caption; None where it is one."""
    if not text:
        return EMPTY
    if len(text) <= _LONGEST_NONE and text.lower() in NONE:
        return f"is {text!r}, which stands for none"
    if text.isprintable():  # nearly all are
        return None
    if "\0" in text:
        return "holds null bytes"
    return None if any(map(str.isprintable, text)) else "holds no character that can be seen"
