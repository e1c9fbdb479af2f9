"""Read columns of a CSV or TSV table as text, so that no row is lost.

In a CSV, fields may stand in quotation marks. A TSV of img2dataset or CC3M has no quoting: a
caption may begin with a mark. pandas quotes fields in a TSV too, where they hold a tab, a line
break or a mark. So a table with tabs is read in both ways, and one is taken only where the other
cannot be meant.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from hpc_xfer.compute.shard_tools.tables.table_rows import TableRows, TableRowsFactory
from hpc_xfer.compute.shard_tools.tables.text_rows import (
    TextRows,
    open_text,
    quoted,
    quoted_names,
    where_not_utf8,
    why_unreadable,
)
from hpc_xfer.config.dataset_forms.listing import IMAGE_SUFFIXES
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.system.atomic_files import OddFile

Quoting = Literal["csv", "none"]
_MARK = '"'
_BATCH = 65_536  # rows of text that are held as Python strings, and their characters
_BATCH_CHARACTERS = 16 << 20
_MOST_COLUMNS = 100_000
_SEPARATORS = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}


class TextTable(NamedTuple):
    """The rows of a table of text, and sentences about how it was read."""

    rows: TableRows
    notes: tuple[str, ...]
    quoting: Quoting | None  # None where both ways of reading give the same


@dataclass
class _TextReading:
    """A table as one way of reading gives it, and what speaks against that way."""

    rows: TableRows
    quoted: bool
    misfits: int = 0  # lines with fields too few or too many
    first_misfit: tuple[int, int] = (0, 0)  # line and number of its fields
    fault: tuple[int, str] | None = None  # line and sentence, where quotation marks do not pair
    marked: int = 0  # fields that begin with a mark, if marks are part of the text
    first_marked: int = 0  # line
    spans: int = 0  # rows of several lines
    first_span: tuple[int, int] = (0, 0)  # its first and last line
    swallowed: tuple[int, int] | None = None  # a quoted field, and a line in it that is a row
    canonical: bool = True  # marks stand only where Python's csv and pandas write them

    @property
    def fits(self) -> bool:
        return not self.misfits and self.fault is None


def read(
    path: Path,
    names: Sequence[str],
    image: str,
    new_rows: TableRowsFactory,
    separator: str | None = None,
    quoting: Quoting | None = None,
) -> TextTable:
    """Read these columns.

    Args:
        image: the column of paths. A line within a quoted field that has an image there is a row.
        new_rows: takes the rows, once for each way of reading.
        separator: of fields; None: a tab in a .tsv, a comma elsewhere.
        quoting: None: as the table shows.

    Raises:
        StudyError: a column is missing, or only the user knows how marks are meant.
        DataError: the table cannot be read; the sentence names the line.
    """
    separator = separator or ("\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        header = _header(path, separator)
        _check_header(path, header, names, separator)
        if quoting is None and separator == "\t" and not _quoted_header(path):
            return _as_shown(path, header, names, image, new_rows)
        quoted = quoting != "none"
        reading = _read(path, header, names, image, separator, quoted, new_rows())
        _check(path, header, reading, separator)
        if quoting is None and reading.swallowed:
            opened, row = reading.swallowed
            raise DataError(
                f"{path}:{opened}: a quotation mark encloses line {row}, which looks like a row; "
                "close it, or give --quoting none if marks are part of the text, or --quoting csv "
                "if it is right"
            )
        if quoting == "none":
            reading.marked = 0  # as its user knows
        return TextTable(reading.rows, _notes(reading), quoting)
    except UnicodeDecodeError as error:
        raise DataError(where_not_utf8(path)) from error
    except OddFile as odd:
        raise DataError(f"{path}: {odd}; name a file") from odd
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def _as_shown(
    path: Path, header: list[str], names: Sequence[str], image: str, new_rows: TableRowsFactory
) -> TextTable:
    """Read a table with tabs in the way that can be meant.

    Raises:
        StudyError: both can.
    """
    plain = _read(path, header, names, image, "\t", False, new_rows())
    if not plain.marked:
        _check(path, header, plain, "\t")
        return TextTable(plain.rows, _notes(plain), None)
    quoted = _read(path, header, names, image, "\t", True, new_rows())
    if not quoted.fits or not quoted.canonical or quoted.swallowed:
        _check(path, header, plain, "\t")
        return TextTable(plain.rows, _notes(plain), "none")
    if plain.fits and quoted.spans:
        first, last = quoted.first_span
        raise StudyError(
            f"{path}:{first}: lines {first} to {last} are one row if its quotation mark encloses a "
            f"field, else {last - first + 1} rows; give --quoting csv or --quoting none"
        )
    note = (
        f"fields in quotation marks are read as pandas writes them, the first in line "
        f"{plain.first_marked:,}; --quoting none keeps the marks"
    )
    return TextTable(quoted.rows, (note, *_notes(quoted)), "csv")


def _notes(reading: _TextReading) -> tuple[str, ...]:
    notes = []
    if reading.marked:
        notes.append(
            f"{_fields(reading.marked)} with a quotation mark, the first in line "
            f"{reading.first_marked:,}; the mark is part of the text, unless you give --quoting csv"
        )
    if reading.spans:
        first, last = reading.first_span
        notes.append(
            f"{_rows(reading.spans)} line breaks in quotation marks, the first in lines "
            f"{first:,} to {last:,}"
        )
    return tuple(notes)


def _header(path: Path, separator: str) -> list[str]:
    with open_text(path) as file:
        rows = TextRows(file, separator, quoted=_quoted_header(path))
        try:
            fields = next(rows, None)
        except csv.Error as error:
            line, why = why_unreadable(error, rows)
            raise DataError(f"{path}:{line}: {why}") from error
    if fields is not None:
        if len(fields[1]) > _MOST_COLUMNS:
            raise DataError(
                f"{path}: has {len(fields[1]):,} columns, more than {_MOST_COLUMNS:,}; leave out "
                "those that are not needed"
            )
        return fields[1]
    raise DataError(f"{path}: is empty; its first line must name the columns")


def _quoted_header(path: Path) -> bool:
    """Return whether the first name of a column stands in marks: then all fields may."""
    with open_text(path) as file:
        return file.read(1) == _MARK


def _check_header(path: Path, header: list[str], names: Sequence[str], separator: str) -> None:
    missing = [name for name in names if name not in header]
    if not missing:
        if twice := [name for name in names if header.count(name) > 1]:
            raise StudyError(
                f"{path}: has {header.count(twice[0])} columns {twice[0]!r}; rename all but one"
            )
        return
    found = f"{path}: has no column {missing[0]!r}, only {quoted_names(header)}"
    if len(header) == 1:
        for other, word in _SEPARATORS.items():
            if other != separator and other in header[0]:
                raise StudyError(
                    f"{path}: has one column {quoted(header[0])}; its fields seem to be separated "
                    f"by {word}: give --separator {word}"
                )
    if any(_is_image(name) for name in header):
        raise StudyError(
            f"{found}; its first line seems to be a row: write a line above it that names the "
            "columns"
        )
    raise StudyError(
        f"{found}; name columns with --image-column, --caption-column and --label-column"
    )


def _read(
    path: Path,
    header: list[str],
    names: Sequence[str],
    image: str,
    separator: str,
    quoted: bool,
    rows: TableRows,
) -> _TextReading:
    reading = _TextReading(rows, quoted)
    positions = [header.index(name) for name in names]
    place = header.index(image)
    texts: dict[str, list[str]] = {name: [] for name in names}
    characters = 0
    with open_text(path) as file:
        records = TextRows(file, separator, quoted)
        try:
            for number, (first, fields, lines) in enumerate(records):
                if number == 0:
                    continue
                if not quoted:
                    _count_marks(reading, first, fields)
                if len(fields) != len(header):
                    if not reading.misfits:
                        reading.first_misfit = first, len(fields)
                    reading.misfits += 1
                    continue
                for column, position in zip(texts.values(), positions, strict=True):
                    column.append(fields[position])
                characters += records.characters
                if quoted and any(_MARK in line for line in lines):
                    _check_marks(reading, first, fields, lines, place, separator)
                if len(texts[image]) == _BATCH or characters > _BATCH_CHARACTERS:
                    _move(texts, rows)
                    characters = 0
        except csv.Error as error:
            reading.fault = why_unreadable(error, records)
    _move(texts, rows)
    return reading


def _count_marks(reading: _TextReading, first: int, fields: list[str]) -> None:
    marked = sum(each.startswith(_MARK) for each in fields)
    if marked and not reading.marked:
        reading.first_marked = first
    reading.marked += marked


def _check_marks(
    reading: _TextReading,
    first: int,
    fields: list[str],
    lines: list[str],
    place: int,
    separator: str,
) -> None:
    """Note rows of several lines, and marks that no writer would write so."""
    if reading.canonical:
        reading.canonical = _written(fields, separator) == "".join(lines).rstrip("\r\n")
    if len(lines) == 1:
        return
    if not reading.spans:
        reading.first_span = first, first + len(lines) - 1
    reading.spans += 1
    for number, line in enumerate(lines, first):
        parts = line.rstrip("\r\n").split(separator)
        is_row = len(parts) == len(fields) and _is_image(parts[place])
        if is_row and reading.swallowed is None and parts[place].strip(_MARK) != fields[place]:
            reading.swallowed = first, number


def _written(fields: list[str], separator: str) -> str:
    """Write a row as Python's csv does, and pandas with it: marks only where they are needed."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\r\n").writerow(fields)
    return text.getvalue().removesuffix("\r\n")


def _move(texts: dict[str, list[str]], rows: TableRows) -> None:
    if any(texts.values()):
        rows.add({name: pa.array(found, pa.large_string()) for name, found in texts.items()})
    for found in texts.values():
        found.clear()


def _check(path: Path, header: list[str], reading: _TextReading, separator: str) -> None:
    """Refuse a table that has a line which does not fit.

    Raises:
        DataError: it names the first one.
    """
    other = ", or give --quoting none if marks are part of the text" if reading.quoted else ""
    if reading.misfits and (reading.fault is None or reading.first_misfit[0] < reading.fault[0]):
        line, fields = reading.first_misfit
        more = f" ({reading.misfits:,} lines do not fit)" if reading.misfits > 1 else ""
        columns = "1 column" if len(header) == 1 else f"{len(header)} columns"
        hint = "; correct it" if reading.marked == 0 else "; correct it, or give --quoting csv"
        missing = fields < len(header)
        how = "add the missing ones" if missing else f"put text with {_word(separator)} in marks"
        cure = hint if not reading.quoted else f"; {how}{other}"
        raise DataError(
            f"{path}:{line}: has {fields} field{'s' * (fields != 1)}, but the first line names "
            f"{columns}{more}{cure}"
        )
    if reading.fault is not None:
        line, why = reading.fault
        raise DataError(f"{path}:{line}: {why}{other}")


def _word(separator: str) -> str:
    return f"a {_SEPARATORS.get(separator, repr(separator))}"


def _rows(number: int) -> str:
    return "1 row has" if number == 1 else f"{number:,} rows have"


def _fields(number: int) -> str:
    return "1 field begins" if number == 1 else f"{number:,} fields begin"


def _is_image(text: str) -> bool:
    return Path(text.strip().strip(_MARK)).suffix.lower() in IMAGE_SUFFIXES
