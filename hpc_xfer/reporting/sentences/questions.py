"""The questions of a study, in the order of the paper's, each with its few most important answers.

    sentences(averages, gaps, scaling)

A sentence holds for one mode, for the mean of data sets if there is one, at the fewest, the middle
and the most shots. All comparisons are in gaps.csv and scaling.csv.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpc_xfer.reporting.sentences.axis_sentences import headline, spread_sentence
from hpc_xfer.reporting.sentences.gap_sentences import (
    axis_noun,
    pair_sentence,
    range_sentence,
    turned,
)
from hpc_xfer.reporting.sentences.lines import (
    MOST_LINES,
    Sentence,
    at_ends,
    chosen,
    grouped_by,
    main_rows,
)
from hpc_xfer.reporting.sentences.luck_sentences import rank_sentence, variance_sentence
from hpc_xfer.reporting.sentences.scratch_sentences import scratch_sentence
from hpc_xfer.reporting.sentences.size_sentences import (
    crossing_sentence,
    labels_sentence,
    slope_sentence,
    telling_crossings,
    telling_labels,
)
from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, Variance
from hpc_xfer.results.averages import Average

_TITLES = {  # axis -> question, in the order of the paper
    "source": "Does the source of the pre-training data matter, and less so with more data?",
    "samples": "How much do more samples help?",
    "curation": "Does the curation of the data matter?",
    "method": "Does the method of pre-training matter?",
    "arch": "Does the architecture matter?",
}
_SCRATCH = "Does pre-training help at all, and how many labels does it save?"
_LABELS = "How many labels does a better pre-training save?"
_RANKS = "Which pre-training ranks first over the data sets?"
_LUCK = "How much of a number is luck, and what would more draws or seeds bring?"
_LEAST_FOR_HEADLINE = 3  # numbers of shots; fewer are all said one by one


@dataclass(frozen=True)
class Question:
    """A question that the axes of a study ask, and the sentences that answer it."""

    title: str
    lines: tuple[str, ...]


def sentences(
    averages: Sequence[Average],
    gaps: Sequence[Gap],
    scaling: Sequence[Scaling],
    ranks: Sequence[Rank] = (),
    variance: Sequence[Variance] = (),
) -> list[Question]:
    """Answer each question that the study asks; one sentence says if it asks none."""
    scratch = {average.label for average in averages if average.encoder.method == "scratch"}
    by_axis = {axis: [gap for gap in gaps if gap.axis == axis] for axis in _axes(gaps)}
    against = [_from_scratch(gap, scratch) for gap in by_axis.pop("scratch", [])]
    saved = [row for row in scaling if row.kind == "labels"]
    theirs = [row for row in saved if scratch & {row.series, row.reference}]
    found = [
        _on_size(own, scaling) if axis == "samples" else _on_axis(axis, own)
        for axis, own in by_axis.items()
    ]
    found += [
        _on_scratch(against, theirs),
        Question(_LABELS, _labels([row for row in saved if row not in theirs])),
        Question(_RANKS, _ranks(ranks)),
    ]
    answered = [question for question in found if question.lines]
    answered = answered or [Question("What can be said?", (_nothing(averages),))]
    luck = _luck(variance)
    return [*answered, Question(_LUCK, luck)] if luck else answered


def _axes(gaps: Sequence[Gap]) -> dict[str, None]:
    """All axes in order; that of size too where no pair differs in it, for released weights."""
    return dict.fromkeys([*_TITLES, *(gap.axis for gap in gaps)])


def _on_axis(axis: str, gaps: Sequence[Gap]) -> Question:
    title = _TITLES.get(axis, f"Does {axis_noun(axis)} matter?")
    return Question(title, _with_count(chosen(_axis_groups(gaps)), _pairs(gaps), "gaps.csv"))


def _axis_groups(gaps: Sequence[Gap]) -> list[list[Sentence]]:
    """Lines per mode and `at` (and data set without a mean): of the range, else of each pair."""
    several = len({gap.at for gap in gaps}) > 1
    groups: list[list[Sentence]] = []
    pair_groups: list[list[Sentence]] = []
    for group in grouped_by(_main_gaps(gaps), lambda gap: (gap.mode, gap.at, gap.dataset)):
        at = group[0].at if several else ""
        ranges = [gap for gap in group if gap.kind == "best-worst" and gap.levels > 2]
        pairs = [gap for gap in group if gap.kind == "pair"]
        if ranges:
            spreads = [gap for gap in group if gap.kind == "spread"]
            differs = _differing(pairs)
            ranges = [replace(gap, differs=differs) for gap in ranges]
            groups.append(_range_lines(ranges, spreads, pairs, at))
        else:
            by_labels = grouped_by(pairs, lambda gap: (gap.a, gap.b))
            pair_groups += [_pair_lines(pair, at) for pair in by_labels]
    if not groups:
        return pair_groups
    later = [[replace(line, priority=line.priority + 2) for line in own] for own in pair_groups]
    return groups + later


def _range_lines(
    ranges: Sequence[Gap], spreads: Sequence[Gap], pairs: Sequence[Gap], at: str
) -> list[Sentence]:
    lines = []
    if len(ranges) >= _LEAST_FOR_HEADLINE:
        lines.append(Sentence(headline(ranges, at), 0, stated=0))
    ends = at_ends(ranges, lambda gap: range_sentence(gap, at), stated=0)
    # The first group gets both ends and its spread, which alone says if the axis matters less.
    both = len(lines)
    lines += [replace(end, priority=both if end.priority < 2 else both + 2) for end in ends]
    if spreads:
        lines.append(Sentence(spread_sentence(spreads, at), both, stated=0))
    if second := _closest(ranges[-1], pairs):
        lines.append(Sentence(pair_sentence(second, at), 4))
    return lines


def _differing(pairs: Sequence[Gap]) -> str:
    """Name the settings, besides the axis, in which any two of the levels differ."""
    names = dict.fromkeys(name for pair in pairs for name in pair.differs.split(", ") if name)
    return ", ".join(names)


def _closest(best: Gap, pairs: Sequence[Gap]) -> Gap | None:
    """Find the pair of the best with the one after it."""
    own = [
        pair if pair.a == best.a else turned(pair)
        for pair in pairs
        if pair.shots == best.shots and best.a in (pair.a, pair.b)
    ]
    return min(own, key=lambda pair: pair.difference, default=None)


def _pair_lines(pairs: Sequence[Gap], at: str) -> list[Sentence]:
    lines = []
    if len(pairs) >= _LEAST_FOR_HEADLINE:
        lines.append(Sentence(headline(pairs, at), 3, stated=0))
    return lines + at_ends(pairs, lambda gap: pair_sentence(gap, at))


def _on_size(gaps: Sequence[Gap], scaling: Sequence[Scaling]) -> Question:
    """Slopes where they have an interval, else pairs of sizes; then how much data is enough."""
    rows = _main_scaling(scaling)
    slopes = [row for row in rows if row.kind == "slope"]
    crossings = telling_crossings([row for row in rows if row.kind == "crossing"])
    groups = [
        at_ends(group, slope_sentence)
        for group in grouped_by(slopes, lambda row: (row.mode, row.dataset, row.series))
    ]
    if gaps and all(row.ci95_low is None for row in slopes):
        groups = _axis_groups(gaps)
    reached = [
        at_ends(group, crossing_sentence)
        for group in grouped_by(
            crossings,
            lambda row: (row.mode, row.dataset, row.series, row.reference),
        )
    ]
    second = chosen(reached, MOST_LINES // 2)
    lines = [*chosen(groups, MOST_LINES - len(second)), *second]
    own = sum(row.kind != "labels" for row in scaling)
    file = " and ".join(n for n, rows in (("gaps.csv", gaps), ("scaling.csv", own)) if rows)
    return Question(_TITLES["samples"], _with_count(lines, _pairs(gaps) + own, file))


def _on_scratch(gaps: Sequence[Gap], saved: Sequence[Scaling]) -> Question:
    several = len({gap.at for gap in gaps}) > 1
    groups = []
    pairs = [gap for gap in _main_gaps(gaps) if gap.kind == "pair"]
    for group in grouped_by(pairs, lambda gap: (gap.mode, gap.at, gap.dataset)):
        at = group[0].at if several else ""
        families = [tuple(own) for own in grouped_by(group, lambda gap: gap.shots)]
        last = len(families) - 1
        places = {last // 2: 2, last: 1, 0: 0}
        groups.append(
            [
                Sentence(scratch_sentence(families[i], at), places[i], stated=len(families[i]))
                for i in sorted(places)
            ]
        )
    lines = chosen(groups, MOST_LINES - min(len(saved), 2))
    lines += chosen(_labels_groups(saved), MOST_LINES - len(lines))
    file = "gaps.csv and scaling.csv" if saved else "gaps.csv"
    return Question(_SCRATCH, _with_count(lines, _pairs(gaps) + len(saved), file))


def _from_scratch(gap: Gap, scratch: set[str]) -> Gap:
    """Put scratch second."""
    return turned(gap) if gap.a in scratch or gap.level_a == "scratch" else gap


def _labels(rows: Sequence[Scaling]) -> tuple[str, ...]:
    return _with_count(chosen(_labels_groups(rows)), len(rows), "scaling.csv")


def _labels_groups(rows: Sequence[Scaling]) -> list[list[Sentence]]:
    rows = telling_labels(_main_scaling(rows))
    groups = grouped_by(rows, lambda row: (row.mode, row.dataset, row.series, row.reference))
    return [at_ends(group, labels_sentence) for group in groups]


def _ranks(ranks: Sequence[Rank]) -> tuple[str, ...]:
    groups = []
    for group in grouped_by(ranks, lambda rank: rank.mode):
        per_shots = grouped_by(group, lambda rank: rank.shots)
        known = any(rank.friedman_p is not None for rank in group)
        ends = dict.fromkeys((0, len(per_shots) - 1 if known else 0))  # one refusal is enough
        groups.append(
            [Sentence(rank_sentence(per_shots[i]), i, stated=len(per_shots[i])) for i in ends]
        )
    return _with_count(chosen(groups), len(ranks), "ranks.csv", "row")


def _luck(variance: Sequence[Variance]) -> tuple[str, ...]:
    groups = []
    rows = main_rows(variance, lambda row: row.mode)
    for group in grouped_by(rows, lambda row: (row.mode, row.dataset)):
        per_shots = grouped_by(group, lambda row: row.shots)
        ends = dict.fromkeys((0, len(per_shots) - 1))
        groups.append(
            [Sentence(variance_sentence(per_shots[i]), i, stated=len(per_shots[i])) for i in ends]
        )
    known = any(row.sd is not None for row in rows if row.component != "image")
    lines = chosen(groups) if known else chosen(groups, 1)  # one refusal is enough
    return _with_count(lines, len(variance), "variance.csv", "row")


def _with_count(
    lines: Sequence[Sentence], total: int, file: str, thing: str = "comparison"
) -> tuple[str, ...]:
    """Add how many rows of the table the lines do not say."""
    more = total - sum(line.stated for line in lines)
    things = thing if more == 1 else f"{thing}s"
    tail = [f"{more:,} more {things} in {file}."] if lines and more > 0 else []
    return (*(line.text for line in lines), *tail)


def _main_gaps(gaps: Sequence[Gap]) -> list[Gap]:
    return main_rows(gaps, lambda gap: (gap.mode, gap.at))


def _main_scaling(rows: Sequence[Scaling]) -> list[Scaling]:
    return main_rows(rows, lambda row: (row.kind, row.mode, row.series, row.reference))


def _pairs(gaps: Sequence[Gap]) -> int:
    return sum(gap.kind == "pair" for gap in gaps)


def _nothing(averages: Sequence[Average]) -> str:
    """Say why the study has no comparison."""
    labels = list(dict.fromkeys(a.label for a in averages if a.interval is not None))
    if not labels:
        return "No cell is complete yet, so nothing can be said."
    if len(labels) == 1:
        return (
            f"Nothing can be compared: {labels[0]} is the only encoder with results; averages.csv "
            "has its accuracy."
        )
    return (
        f"Nothing can be compared: no two of the {len(labels)} encoders with results share all "
        "settings but one; averages.csv has their accuracy."
    )
