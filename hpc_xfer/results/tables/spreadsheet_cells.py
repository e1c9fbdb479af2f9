"""Keep cells of a CSV text in a spreadsheet, which runs a cell that begins like a formula.

    guarded("=cmd|' /C calc'!A0")  ->  "'=cmd|' /C calc'!A0"
    original("'=1+1")              ->  "=1+1"

Names of machines, messages and files from elsewhere come from other people's hands. An apostrophe
in front marks a text, and is taken away where a table is read. A number is none: -0.5 stays. Where
the list separator of a country is a semicolon, a cell begins after it too, and after a line break:
the quotes of our cells are none there.
"""

import re

# Also as Asian keyboards write them, which some programs take for the same.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_SEPARATORS = ";\t\r\n"
_FORMULA = rf"(?=[\s'\"\ufeff]*[{_SIGNS}\t\r\n])"
_WHERE = re.compile(rf"(^|[{_SEPARATORS}]){_FORMULA}")
_MARKED = re.compile(rf"(^|[{_SEPARATORS}])'{_FORMULA}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)
# First letters of cells that need a closer look: the signs, and what may stand before them.
_FIRST = frozenset("=+-@\uff1d\uff0b\uff0d\uff20'\"\ufeff") | {
    chr(code) for code in range(0x3001) if chr(code).isspace()
}


def guarded(text: str) -> str:
    """Return the text with an apostrophe before each part that could begin a formula."""
    if text[:1] in _FIRST:
        return text if _NUMBER.fullmatch(text) else _WHERE.sub(r"\1'", text)
    return _WHERE.sub(r"\1'", text) if any(each in text for each in _SEPARATORS) else text


def original(text: str) -> str:
    """Return the text that `guarded` was given."""
    if text[:1] == "'" or ";" in text or "\t" in text or "\n" in text or "\r" in text:
        return _MARKED.sub(r"\1", text) if not _NUMBER.fullmatch(text) else text
    return text
