"""Count words that stand for a missing value, over the batches of a column."""

from typing import Any

import pyarrow.compute as pc

Column = Any  # a pyarrow.Array, which has no annotations


class MissingWords:
    """Words for a missing value that were seen in a column."""

    def __init__(self, what: str) -> None:
        self._what = what  # the values are
        self._rows = self._number = 0
        self._first: tuple[str, int] | None = None  # word and row

    def without(self, values: Column, words: Column) -> Column:
        """Turn words into nulls.

        Args:
            words: true where a value of this batch is such a word.
        """
        number = pc.sum(words).as_py() or 0
        if number:
            if self._first is None:
                row = pc.index(words, True).as_py()
                self._first = values[row].as_py(), self._rows + row + 1
            self._number += number
            values = pc.if_else(words, None, values)
        self._rows += len(values)
        return values

    @property
    def notes(self) -> tuple[str, ...]:
        return () if self._first is None else (sentence(self._number, self._what, *self._first),)


def sentence(number: int, what: str, word: str, row: int, keep: str = "") -> str:
    """Say how many words there are.

    Args:
        what: the values are.
        word: the first one, in `row`.
        keep: the way to keep them.
    """
    are = "is a word" if number == 1 else "are words"
    count = "counts" if number == 1 else "count"
    return (
        f"{number:,} {what}{'s' * (number > 1)} {are} for a missing value, the first {word!r} in "
        f"row {row:,}, and {count} as missing{keep}"
    )
