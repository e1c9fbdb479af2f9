"""The few sentences that a question shows: each group of comparisons has its turn."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, Variance
from hpc_xfer.results.answers.terms import shot_order
from hpc_xfer.results.averages import MEAN

MOST_LINES = 6  # of one question
AnswerRow = TypeVar("AnswerRow", Gap, Scaling, Rank, Variance)


@dataclass(frozen=True)
class Sentence:
    """A sentence; those with the lowest `priority` are shown, 0 from each group first."""

    text: str
    priority: int
    stated: int = 1  # rows of the table whose numbers it has


def chosen(groups: Sequence[Sequence[Sentence]], most: int = MOST_LINES) -> list[Sentence]:
    """Take the most important lines, of equal ones those of the first group; keep their order.

    Args:
        groups: lines in the order in which they read well.
        most: lines.
    """
    turns = sorted((line for group in groups for line in group), key=lambda line: line.priority)
    taken = {id(line) for line in turns[:most]}
    return [line for group in groups for line in group if id(line) in taken]


def at_ends(
    rows: Sequence[AnswerRow], say: Callable[[AnswerRow], str], first: int = 0, stated: int = 1
) -> list[Sentence]:
    """One line for the fewest shots, the middle and the most, in this order.

    Args:
        rows: one per shots, in order.
        say: makes the sentence.
        first: priority of the fewest shots; then come the most, and the middle.
        stated: see `Sentence`.
    """
    last = len(rows) - 1
    places = {last // 2: first + 2, last: first + 1, 0: first} if rows else {}
    return [Sentence(say(rows[place]), places[place], stated) for place in sorted(places)]


def grouped_by(
    rows: Iterable[AnswerRow], key: Callable[[AnswerRow], object]
) -> list[list[AnswerRow]]:
    """Group rows, each group from few shots to many."""
    groups: dict[object, list[AnswerRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return [sorted(group, key=lambda row: shot_order(row.shots)) for group in groups.values()]


Placed = TypeVar("Placed", Gap, Scaling, Variance)


def main_rows(rows: Sequence[Placed], key: Callable[[Placed], object]) -> list[Placed]:
    """Keep the mean of data sets where a group has it, else every data set."""
    with_mean = {key(row) for row in rows if row.dataset == MEAN}
    return [row for row in rows if row.dataset == MEAN or key(row) not in with_mean]
