"""Read numbers with units: counts (1M), durations (24h), memory (60GB), shares (30%).

read_count("2.7M")          # 2700000
read_minutes("1-12:00:00")  # 2160
read_gigabytes("512MB")     # 0.5

Text without a unit is returned as it is, so that the caller reports it. A unit that can mean two
things is refused with both.
"""

import re
from decimal import Decimal
from typing import Any

_NUMBER = r"(\d[\d_]*(?:\.\d+)?|\.\d+)"
_WITH_UNIT = re.compile(_NUMBER + r" ?([A-Za-z]+)", re.A)
_SPAN = re.compile(_NUMBER + r" ?([A-Za-z]+)(?: |$|(?=\d))", re.A)
_PERCENT = re.compile(_NUMBER + r" ?%", re.A)
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d\d))?(?::(\d\d))?", re.A)  # days-hours:min:s

_COUNTS = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}
_COUNTS_IN_DOUBT = {
    "m": ("1 million", "1 thousandth", "M"),
    "b": ("1 billion", "1 byte", "B"),
    "G": ("1 billion", "1 gigabyte", "B"),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
# As Slurm counts them: 1 GB is 1024 MB.
_MEGABYTES = {"M": Decimal(1), "G": Decimal(1024), "T": Decimal(1024**2)}


def read_count(value: Any) -> Any:
    """Return the whole number that a text such as 15k, 2.7M or 2B means; else the value itself.

    Raises:
        ValueError: the unit can mean two things, or the number is not whole.
    """
    found = _WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    number, unit = found.groups()
    if unit in _COUNTS_IN_DOUBT:
        one, other, write = _COUNTS_IN_DOUBT[unit]
        raise ValueError(
            f"{value!r} is ambiguous: {unit} can mean {one} or {other}; write {number}{write} for "
            f"{one}"
        )
    if unit not in _COUNTS:
        return value
    count = _decimal(number) * _COUNTS[unit]
    if count != count.to_integral_value():
        raise ValueError(f"{value!r} is {count.normalize():f}, which is not whole; round it")
    return int(count)


def refuse_thousands(value: Any) -> Any:
    """Refuse 32k for a batch: it is read as 32,000 and as 32,768; other values pass.

    Raises:
        ValueError: it is in thousands; the sentence has both numbers.
    """
    found = _WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2] not in ("k", "K"):
        return value
    number = _decimal(found[1])
    raise ValueError(
        f"{value!r} is ambiguous: {number * 1000:,.0f} or {number * 1024:,.0f}; write the number "
        "in digits"
    )


def read_minutes(value: Any) -> Any:
    """Return the minutes that 24h, 90m, 1h30m, 1d or 1-12:00:00 mean; else the value itself.

    Raises:
        ValueError: 1:30 and 90M can mean two things; an hour has 60 minutes.
    """
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"\d+:\d\d", value, re.A):
        one, two = value.split(":")
        raise ValueError(
            f"{value!r} is ambiguous: {int(one)}h{int(two)}m, or {int(one)}m{int(two)}s as sbatch "
            "reads it; write one of these two"
        )
    if found := _CLOCK.fullmatch(value):
        if ":" not in value and "-" not in value:
            return value
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        if minutes > 59 or seconds > 59:
            raise ValueError(f"{value!r} is not a time; write days-hours:minutes:seconds")
        return _whole(Decimal(1440 * days + 60 * hours + minutes) + Decimal(seconds) / 60)
    return _spans(value)


def read_whole_minutes(value: Any) -> Any:
    """Read minutes as `read_minutes` does, and refuse those that are not whole.

    Raises:
        ValueError: as `read_minutes`, or the minutes are not whole.
    """
    minutes = read_minutes(value)
    if isinstance(value, str) and isinstance(minutes, float):
        raise ValueError(f"{value!r} is {minutes:g} minutes; write whole minutes")
    return minutes


def _spans(value: str) -> Any:
    """Add the parts of 1h30m or 2d 4h."""
    total, at = Decimal(0), 0
    while at < len(value):
        found = _SPAN.match(value, at)
        if found is None:
            return value
        number, unit = found.groups()
        if unit == "M":
            raise ValueError(
                f"{value!r} is ambiguous: M can mean minutes or months; write {number}m for minutes"
            )
        if unit.lower() not in _SECONDS:
            return value
        total += _decimal(number) * _SECONDS[unit.lower()]
        at = found.end()
    return _whole(total / 60) if value else value


def read_gigabytes(value: Any) -> Any:
    """Return the GB (of 1024 MB, as Slurm counts) that 60G, 60GB or 512MB mean; else the value.

    Raises:
        ValueError: Gb can mean bits or bytes.
    """
    found = _WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    number, unit = found.groups()
    if re.fullmatch(r"[MGT]b", unit):
        raise ValueError(
            f"{value!r} is ambiguous: the b of {unit} can mean bits or bytes; write "
            f"{number}{unit[0]}B for bytes"
        )
    prefix = unit.upper().removesuffix("B").removesuffix("I")
    if prefix not in _MEGABYTES:
        return value
    return _whole(_decimal(number) * _MEGABYTES[prefix] / 1024)


def read_share(value: Any) -> Any:
    """Return the share of 1 that 30% means; else the value itself."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else float(_decimal(found[1]) / 100)


def _decimal(number: str) -> Decimal:
    return Decimal(number.replace("_", ""))


def _whole(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
