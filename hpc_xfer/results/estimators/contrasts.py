"""Noise of sums of fitted row and column effects, in a table with holes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc_xfer.results.estimators.crossed import Values

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Contrasts:
    """Variances of least-squares fits, as multiples of the variance of one value."""

    rows: Mapping[str, int]  # row -> its place in the matrix
    columns: Mapping[str, int]
    inverse: "NDArray[float64]"  # of the normal equations

    @staticmethod
    def of(values: Values) -> "Contrasts":
        """Take the table of (row, column) -> value; its values do not count, its holes do."""
        import numpy

        rows = {name: i for i, name in enumerate(sorted({row for row, _ in values}))}
        names = sorted({column for _, column in values})
        columns = {name: len(rows) + i for i, name in enumerate(names)}
        size = len(rows) + len(columns)
        normal = numpy.zeros((size, size))
        for row, column in values:
            i, j = rows[row], columns[column]
            normal[i, i] += 1
            normal[j, j] += 1
            normal[i, j] = normal[j, i] = 1
        inverse = numpy.linalg.pinv(normal, hermitian=True)
        return Contrasts(rows, columns, inverse.astype(numpy.float64))

    def difference(self, a: str, b: str) -> float:
        """Noise of the difference of two rows; 2 / K where both have all K columns."""
        return self._of({self.rows[a]: 1.0, self.rows[b]: -1.0})

    def mean(self, row: str, columns: Collection[str]) -> float:
        """Noise of the mean of a row over these columns; 1 / K where it has all K of them."""
        share = 1 / len(columns)
        return self._of({self.rows[row]: 1.0} | {self.columns[name]: share for name in columns})

    def _of(self, weights: Mapping[int, float]) -> float:
        return sum(
            w * v * float(self.inverse[i, j])
            for i, w in weights.items()
            for j, v in weights.items()
        )
