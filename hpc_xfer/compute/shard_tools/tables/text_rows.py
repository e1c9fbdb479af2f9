"""The rows of a text file with fields, with the lines of each, and why one cannot be read."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from hpc_xfer.system import atomic_files
from hpc_xfer.system.screen.plain_text import plain

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MOST_NAMES = 6  # of columns, in a message
_MOST_LETTERS = 24  # of a value, in a message
_MOST_TYPE = 60  # letters of the name of a type
_MOST_ROW = 16 << 20  # characters; a field has at most 131,072
_LINE = 100  # bytes that a line takes beside its characters
_ROW_TOO_LONG = "row longer"


class TextRows(Iterator[tuple[int, list[str], list[str]]]):
    """Yields of each row its first line, its fields and its lines; passes over empty lines."""

    def __init__(self, file: Any, separator: str, quoted: bool) -> None:
        rule: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        self._file = file
        self._reader = csv.reader(
            self._remembered(), delimiter=separator, quoting=rule, strict=True
        )
        self.lines: list[str] = []
        self.characters = 0  # of the row
        self.first = 1

    def _remembered(self) -> Iterator[str]:
        while line := self._file.readline(_MOST_ROW):
            self.lines.append(line)
            self.characters += len(line) + _LINE
            if self.characters >= _MOST_ROW:
                raise csv.Error(_ROW_TOO_LONG)
            yield line

    def __next__(self) -> tuple[int, list[str], list[str]]:
        fields: list[str] = []
        while not fields:
            self.first = self._reader.line_num + 1
            self.lines = []
            self.characters = 0
            fields = next(self._reader)
        return self.first, fields, self.lines


def why_unreadable(error: csv.Error, rows: TextRows) -> tuple[int, str]:
    """Say in plain words why a row cannot be read."""
    what = str(error)
    if "expected after" in what:
        last = rows.first + len(rows.lines) - 1
        until = "" if last == rows.first else f" in line {last:,}"
        why = f"a field goes on after its closing quotation mark{until}; write inner marks twice"
    elif "unexpected end" in what:
        why = "a quotation mark is never closed; close it"
    elif "field larger" in what:
        most = f"{csv.field_size_limit():,}"
        why = f"a field has more than {most} characters; close its quotation mark or shorten it"
    elif what == _ROW_TOO_LONG:
        why = f"a row has more than {_MOST_ROW:,} characters, or very many lines; correct the line"
    else:
        why = f"cannot be read ({what}); correct the line"
    return rows.first, why


def open_text(path: Path) -> io.TextIOWrapper:
    """Open as UTF-8, with or without a byte order mark; line ends stay as they are.

    Raises:
        OddFile: it is a pipe or a device.
        OSError: it cannot be opened.
    """
    handle = atomic_files.open_plainly(path, follow=True)
    return open(handle, encoding="utf-8-sig", newline="")


def where_not_utf8(path: Path) -> str:
    """Name the first line that is not UTF-8."""
    with open(path, "rb") as file:
        if file.read(2) in _UTF16:
            return f"{path}: is written in UTF-16; save it as UTF-8"
        file.seek(0)
        lines = iter(lambda: file.readline(_MOST_ROW), b"")
        for number, line in enumerate(lines, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                found = line[error.start : error.start + 1].hex()
                return (
                    f"{path}:{number}: is not UTF-8 (byte {found} after {error.start:,} others); "
                    "save the table as UTF-8"
                )
    return f"{path}: is not UTF-8; save the table as UTF-8"


def quoted(value: str) -> str:
    """Quote a value for a message; a long one, such as a whole caption, is cut."""
    return repr(value if len(value) <= _MOST_LETTERS else value[: _MOST_LETTERS - 3] + "...")


def type_name(kind: object) -> str:
    """Name a type of Arrow for a message; one with lists in lists, or of many fields, is cut."""
    return plain(str(kind), most=_MOST_TYPE)


def quoted_names(names: Sequence[str]) -> str:
    """Quote the names of columns for a message: the first ones, where there are many."""
    more = f" and {len(names) - _MOST_NAMES:,} more" * (len(names) > _MOST_NAMES)
    return ", ".join(map(quoted, names[:_MOST_NAMES])) + more
