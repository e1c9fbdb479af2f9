"""Parse JSON that others may have written: numbers fit 64 bits, nesting is at most 200 deep.

    bounded_json.parse(data)        # UnfitJson says what is wrong

Python takes a number of 400 digits and fails where it is made a float, or text.
"""

import functools
import math
import re
from collections.abc import Callable
from typing import Any

_LARGEST = 2**63 - 1
# Every digit becomes 0, e and E become e, what may end a number a space, a point stays, all else is
# x: one pass over the bytes then shows whether any number may be too large, in a tenth of the time
# of a walk. Digits behind a point make no number large, and small ones have many: 0.00012345678901.
_DIGITS, _ENDS = b"0123456789", b",]} \t\r\n"
_KINDS = bytes(
    48 if byte in _DIGITS else 101 if byte in b"eE" else 32 if byte in _ENDS
    else 46 if byte == 46 else 120
    for byte in range(256)
)  # fmt: skip
_MANY = b"0" * 19  # 2^63 has as many digits; found in a hundredth of the time of the next pattern
_MANY_DIGITS = re.compile(rb"(?<![.0])0{19}")
_EXPONENT = re.compile(rb"e000+(?: |\Z)")  # of 100 or more


class UnfitJson(ValueError):
    """JSON that is not used: cut off, nested too deep, or with numbers that do not fit."""


def parse(data: bytes | str) -> Any:
    """Return the value.

    Raises:
        UnfitJson: it is not whole JSON, is nested too deep, or has NaN, infinity, half a surrogate
            pair, or a number beyond 64 bits.
    """
    try:
        value = _from_json()(data, allow_inf_nan=False)
    except ValueError as error:
        deep = "recursion" in str(error)
        raise UnfitJson("is nested too deep" if deep else "is not whole JSON") from None
    if _may_be_large(data if isinstance(data, bytes) else data.encode()) and not _fits(value):
        raise UnfitJson("has a number that does not fit 64 bits")
    return value


def _may_be_large(data: bytes) -> bool:
    """Return False if no number in JSON is beyond 64 bits; True if one may be."""
    seen = data.translate(_KINDS, b"+")
    many = _MANY in seen and _MANY_DIGITS.search(seen)
    return bool(many or _EXPONENT.search(seen))


@functools.cache
def _from_json() -> Callable[..., Any]:
    from pydantic_core import from_json  # imported when needed, so that --help starts at once

    return from_json


def _fits(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -_LARGEST <= value <= _LARGEST
