"""The answer tables of a study: gaps.csv and its sisters."""

import functools
from collections.abc import Sequence

from hpc_xfer.results.answers.gaps import gaps
from hpc_xfer.results.answers.labels_saved import images_per_class, labels_saved_rows
from hpc_xfer.results.answers.ranks import rank_rows
from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, SelectionBias, Variance, table_of
from hpc_xfer.results.answers.scaling import scaling_rows
from hpc_xfer.results.answers.selection import CellRows
from hpc_xfer.results.answers.terms import FULL
from hpc_xfer.results.answers.variance import Costs, variance_rows
from hpc_xfer.results.averages import Average
from hpc_xfer.results.panels import Panels
from hpc_xfer.results.parts.record_cache import RecordCache, key_of
from hpc_xfer.results.tables.csv_files import Table
from hpc_xfer.results.test_images import TestImages


def answer_tables(
    panels: Panels,
    images: TestImages,
    averages: Sequence[Average],
    costs: Costs,
    cells: Sequence[CellRows],
    tuned: Sequence[str],
    cache: RecordCache | None = None,
) -> dict[str, Table]:
    """Work out all answer tables, by name.

    Args:
        panels: the scores of all planned cells.
        images: how accuracies vary over test images.
        averages: the rows of averages.csv.
        costs: of one more seed or draw.
        cells: the rows of cells.csv, those of one data set and shot count together.
        tuned: settings that were chosen.
        cache: has answers that are as before.
    """
    cache = cache or RecordCache()
    selection: list[SelectionBias] = []
    for each in cells:
        make = functools.partial(each.selection, tuned)
        key = key_of("selection", each.state, tuple(tuned))
        selection += cache.rows("answers", key, SelectionBias, make)
    return {
        "gaps": table_of(Gap, gaps(panels, images, cache)),
        "scaling": table_of(Scaling, _scaling(averages, cells)),
        "ranks": table_of(Rank, rank_rows(averages)),
        "variance": table_of(Variance, variance_rows(panels, costs)),
        "selection": table_of(SelectionBias, selection),
    }


def _scaling(averages: Sequence[Average], cells: Sequence[CellRows]) -> list[Scaling]:
    full = (row for each in cells if each.shots == FULL for row in each.rows)
    return [*scaling_rows(averages), *labels_saved_rows(averages, images_per_class(full))]
