"""Read class labels from the bytes of cls and from the json of samples.

What is not a label raises BadLabel, with the value in its message.
"""

import json
import re
from typing import Any

from hpc_xfer.errors import DataError

_NUMBER = re.compile(rb"(?:\xef\xbb\xbf)?\s*([0-9]{1,18})\s*")  # after a mark of Windows
_MOST = 10**18  # a label; what is larger is an id or a mistake
_SHOWN = 40  # characters of a value in a message


class BadLabel(DataError):
    """A value that is not a class label."""


class BadJson(DataError):
    """A json that is not an object of keys and values."""


def class_number(data: bytes) -> int:
    """Read the class number in a cls field.

    Raises:
        BadLabel: it is not a whole number of 0 or more.
    """
    match = _NUMBER.fullmatch(data)
    if match is None:
        value = shown(data.decode("utf-8", errors="replace").strip())
        raise BadLabel(f"cls {value} is not a class number (0, 1, 2, ...)")
    return int(match[1])


def json_object(data: bytes) -> dict[str, Any]:
    """Read the json of a sample.

    Raises:
        BadJson: it cannot be read, or is not an object.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadJson(f"its json cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise BadJson("its json is not an object of keys and values")
    return content


def json_label(content: dict[str, Any], key: str) -> int | str:
    """Read the class number or name under a key of a json.

    Raises:
        BadLabel: there is none.
    """
    value = content.get(key)
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, int | float) and 0 <= value < _MOST and value == value // 1:
        return int(value)  # true is 1; pandas writes 1.0 where another sample has no label
    what = f"{shown(value)} is neither a class number nor a name"
    raise BadLabel(f"label {what}" if key in content else "has no label")


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
