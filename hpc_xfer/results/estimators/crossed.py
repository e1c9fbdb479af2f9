"""Mean of a table of seeds by draws, and its interval.

    crossed({("0", "0"): .30, ("0", "1"): .52, ("1", "0"): .34, ("1", "1"): .50})

All seeds of a pre-training see the same draws of the images, so neither the seeds alone nor the
draws alone are independent repetitions. The two-way model with random effects (value = mean + seed
+ draw + rest; Searle, Casella, McCulloch, "Variance Components", 1992, chapter 4) has both:

    variance of the mean = max(MSs + MSd - MSe, MSs, MSd) / (S K)
    degrees of freedom = (MSs + MSd)^2 / (MSs^2 / (S - 1) + MSd^2 / (K - 1))    [Satterthwaite 1946]

with the mean squares MS of seeds, draws and the rest. A table with holes gets least-squares means
and the mean squares of Henderson's third method, which are the same numbers where it has none.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpc_xfer.results.estimators.estimate import Estimate

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

Values = Mapping[tuple[str, str], float]  # (seed, draw) -> share
NO_OVERLAP = "seeds and draws do not overlap: no interval"
ONE_VALUE = "one value"
TWO = "2 repetitions: no useful interval"
ONE_DRAW = "one draw: no interval"
FEW = "too few draws in common: no interval"


@dataclass(frozen=True)
class TwoWay:
    """A table of rows (seeds) by columns (draws), fitted by row and column effects."""

    mean: float  # of all fitted values, so each row and column counts the same
    columns: Mapping[str, float]  # column -> mean over all rows, holes filled by the fit
    rows: Mapping[str, float]
    ss_rows: float  # sum of squares, the other effect removed
    ss_columns: float
    ss_rest: float
    freedom_rest: int
    per_row: float  # columns a row stands for: E[MS of rows] = per_row * variance of rows + rest
    per_column: float
    weights: float  # sum of the squared weights of the values in `mean`


def crossed(values: Values, draws_matter: bool = True) -> Estimate:
    """Mean over seeds and draws, each counting the same, with what an interval can cover.

    Args:
        values: (seed, draw) -> share; at least one.
        draws_matter: False at full data, where every draw trains on the same images.
    """
    seeds = sorted({seed for seed, _ in values})
    draws = sorted({draw for _, draw in values})
    mean = statistics.fmean(values.values())
    table = two_way(values)
    if len(seeds) == 1 or len(draws) == 1:
        found = _one_way(list(values.values()), len(seeds), len(draws), draws_matter)
    elif table is None:
        found = Estimate(mean, why=NO_OVERLAP)
    else:
        variance, freedom = _variance_of_mean(table, len(seeds), len(draws))
        found = Estimate(table.mean, math.sqrt(variance), freedom, "E2")
    return replace(found, seeds=len(seeds), draws=len(draws))


def _one_way(values: Sequence[float], seeds: int, draws: int, draws_matter: bool) -> Estimate:
    """Several draws of one seed, several seeds with one draw, or a single value."""
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Estimate(mean, why=ONE_VALUE)
    if seeds > 1 and draws_matter:
        return Estimate(mean, why=ONE_DRAW)
    se = statistics.stdev(values) / math.sqrt(len(values))
    why = TWO if len(values) == 2 else ""
    return Estimate(mean, se, len(values) - 1.0, "E1" if seeds == 1 else "E2", why=why)


def _variance_of_mean(table: TwoWay, seeds: int, draws: int) -> tuple[float, float]:
    rows = table.ss_rows / (seeds - 1) / (seeds * table.per_row)
    columns = table.ss_columns / (draws - 1) / (draws * table.per_column)
    rest = table.ss_rest / table.freedom_rest if table.freedom_rest else 0.0
    counted_twice = rest * (
        1 / (seeds * table.per_row) + 1 / (draws * table.per_column) - table.weights
    )
    variance = max(rows + columns - counted_twice, rows, columns)
    return variance, satterthwaite((rows, seeds - 1), (columns, draws - 1))


def satterthwaite(*parts: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of variances, given (variance, its degrees of freedom)."""
    total = sum(variance for variance, _ in parts)
    below = sum(variance**2 / freedom for variance, freedom in parts if variance)
    return total**2 / below if below else sum(freedom for _, freedom in parts)


def two_way(values: Values) -> TwoWay | None:
    """Fit row and column effects; None where rows and columns fall into unrelated parts."""
    rows = sorted({row for row, _ in values})
    columns = sorted({column for _, column in values})
    if len(values) == len(rows) * len(columns):
        return _complete(values, rows, columns)
    return _with_holes(values, rows, columns) if len(parts(values)) == 1 else None


def _complete(values: Values, rows: Sequence[str], columns: Sequence[str]) -> TwoWay:
    n, m = len(rows), len(columns)
    by_row = {row: statistics.fmean([values[row, c] for c in columns]) for row in rows}
    by_column = {c: statistics.fmean([values[row, c] for row in rows]) for c in columns}
    mean = statistics.fmean(by_row.values())
    rest = math.fsum(
        (values[row, c] - by_row[row] - by_column[c] + mean) ** 2 for row in rows for c in columns
    )
    return TwoWay(
        mean=mean,
        columns=by_column,
        rows=by_row,
        ss_rows=m * math.fsum((value - mean) ** 2 for value in by_row.values()),
        ss_columns=n * math.fsum((value - mean) ** 2 for value in by_column.values()),
        ss_rest=rest,
        freedom_rest=(n - 1) * (m - 1),
        per_row=m,
        per_column=n,
        weights=1 / (n * m),
    )


def parts(values: Values) -> list[Values]:
    """Split a table into parts without a row or a column in common, the largest first."""
    rows: dict[str, set[str]] = {}
    for row, column in values:
        rows.setdefault(row, set()).add(column)
    found: list[Values] = []
    while rows:
        reached = set(next(iter(rows.values())))
        while near := [c for c in rows.values() if c & reached and not c <= reached]:
            reached = reached.union(*near)
        members = {row for row, columns in rows.items() if columns & reached}
        found.append({key: value for key, value in values.items() if key[0] in members})
        rows = {row: columns for row, columns in rows.items() if row not in members}
    return sorted(found, key=len, reverse=True)


def _with_holes(values: Values, rows: Sequence[str], columns: Sequence[str]) -> TwoWay:
    import numpy

    keys = sorted(values)
    y = numpy.array([values[key] for key in keys])
    is_row = numpy.array([[row == name for name in rows] for row, _ in keys], dtype=float)
    is_column = numpy.array([[c == name for name in columns] for _, c in keys], dtype=float)
    both = numpy.hstack([is_row, is_column])
    inverse = numpy.linalg.pinv(both)
    effects = inverse @ y
    of_rows, of_columns = effects[: len(rows)], effects[len(rows) :]
    each_the_same = numpy.concatenate(
        [numpy.full(len(rows), 1 / len(rows)), numpy.full(len(columns), 1 / len(columns))]
    )
    left = float(numpy.sum((y - both @ effects) ** 2))
    n, m, count = len(rows), len(columns), len(keys)
    return TwoWay(
        mean=float(of_rows.mean() + of_columns.mean()),
        columns=dict(zip(columns, (of_columns + of_rows.mean()).tolist(), strict=True)),
        rows=dict(zip(rows, (of_rows + of_columns.mean()).tolist(), strict=True)),
        ss_rows=max(0.0, _within(y, is_column) - left),
        ss_columns=max(0.0, _within(y, is_row) - left),
        ss_rest=left,
        freedom_rest=count - n - m + 1,
        per_row=(count - m) / (n - 1),
        per_column=(count - n) / (m - 1),
        weights=float(numpy.sum((each_the_same @ inverse) ** 2)),
    )


def _within(y: "NDArray[float64]", groups: "NDArray[float64]") -> float:
    """Sum of squares around the means of groups (one column of zeros and ones per group)."""
    means = (groups.T @ y) / groups.sum(axis=0)
    return float(((y - groups @ means) ** 2).sum())
