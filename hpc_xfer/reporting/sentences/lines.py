"""The few sentences that a question shows: each group of comparisons has its turn."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, Variance
from hpc_xfer.results.answers.terms import shot_order
from hpc_xfer.results.averages import MEAN

MOST_LINES = 6  # of one question
AnswerRow = TypeVar("AnswerRow", Gap, Scaling, Rank, Variance)
Placed = TypeVar("Placed", Gap, Scaling, Variance)
Stated = TypeVar("Stated")


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


def _one(row: object) -> int:
    return 1


def at_ends(
    rows: Sequence[Stated], say: Callable[[Stated], str], stated: Callable[[Stated], int] = _one
) -> list[Sentence]:
    """Make a line for the fewest shots, the middle and the most; the middle is the least important.

    Args:
        rows: one per shots, in order; a row may be a group of rows.
        say: makes the sentence.
        stated: see `Sentence`.
    """
    last = len(rows) - 1
    places = {last // 2: 2, last: 1, 0: 0} if rows else {}
    return [Sentence(say(rows[i]), places[i], stated(rows[i])) for i in sorted(places)]


def at_first_and_last(
    groups: Sequence[Sequence[AnswerRow]],
    say: Callable[[Sequence[AnswerRow]], str],
    first_alone: bool = False,
) -> list[Sentence]:
    """Make a line for the fewest shots and for the most.

    Args:
        groups: the rows of each number of shots, in order.
        say: makes the sentence.
        first_alone: leave out the most shots, where one refusal is enough.
    """
    ends = dict.fromkeys((0, 0 if first_alone else len(groups) - 1))
    return [Sentence(say(groups[i]), i, stated=len(groups[i])) for i in ends]


def grouped_by(
    rows: Iterable[AnswerRow], key: Callable[[AnswerRow], object]
) -> list[list[AnswerRow]]:
    """Group rows, each group from few shots to many."""
    groups: dict[object, list[AnswerRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return [sorted(group, key=lambda row: shot_order(row.shots)) for group in groups.values()]


def main_rows(rows: Sequence[Placed], key: Callable[[Placed], object]) -> list[Placed]:
    """Keep the mean of data sets where a group has it, else every data set."""
    with_mean = {key(row) for row in rows if row.dataset == MEAN}
    return [row for row in rows if row.dataset == MEAN or key(row) not in with_mean]
