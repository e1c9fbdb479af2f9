"""Say how to write a value that was refused: without quotes, commas, or as a list."""

import re
from collections.abc import Sequence
from typing import Any

_NUMBERS = ("a number", "a whole number")
_PLAIN = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.A)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+", re.A)
_WITH_COMMA = re.compile(r"\d+,\d+", re.A)


def way_out(wanted: Sequence[str], got: Any, takes_null: bool = False) -> str:
    """Return the end of a sentence that says what to write instead; "" where nothing is sure.

    Args:
        wanted: what could stand there, such as "a number".
        takes_null: null could stand there too.
    """
    if got is None:
        return "; give it a value, or remove it"
    if list(wanted) == ["a word"] and not isinstance(got, str | list):
        if isinstance(got, dict):  # {what} in a text, or a mapping that somebody meant
            is_text = all(value is None for value in got.values())
            return "; put the text in quotes" if is_text else "; write one word"
        return f"; write '{got}' in quotes"
    if list(wanted) == ["a list"] and isinstance(got, str | int | float):
        return f"; write [{got}]"
    return _of_text(got, wanted, takes_null) if isinstance(got, str) else ""


def several_in(value: Any) -> str:
    """Return a text that is a list without brackets, such as `1, 5, 10`; else an empty one."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else []
    return ", ".join(parts) if len(parts) > 1 and all(parts) else ""


def _of_text(got: str, wanted: Sequence[str], takes_null: bool) -> str:
    is_number = any(each in _NUMBERS for each in wanted)
    if got.endswith(","):
        return "; remove the comma"
    if is_number and _THOUSANDS.fullmatch(got):
        several = "" if ",0" in got else f", or [{several_in(got)}] for several"
        return f"; write {got.replace(',', '')} without commas{several}"
    if "a number" in wanted and _WITH_COMMA.fullmatch(got):
        several = "" if got.startswith("0") else f", or [{several_in(got)}] for several"
        return f"; write {got.replace(',', '.')} with a point{several}"
    if several := several_in(got):
        return f"; for several, write [{several}]"
    if is_number and _PLAIN.fullmatch(got):
        return f"; write {got} without quotes"
    return "; write null for none" if takes_null and got.lower() in ("none", "nil", "off") else ""
