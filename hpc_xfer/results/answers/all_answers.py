"""The answer tables of a study: gaps.csv and its sisters."""

from collections.abc import Sequence

from hpc_xfer.results.answers.gaps import gaps
from hpc_xfer.results.answers.rows import Gap, table_of
from hpc_xfer.results.averages import Average
from hpc_xfer.results.csv_files import Table
from hpc_xfer.results.panels import Panels
from hpc_xfer.results.test_images import TestImages


def answer_tables(
    panels: Panels, images: TestImages, averages: Sequence[Average]
) -> dict[str, Table]:
    """Work out all answer tables, by name."""
    return {"gaps": table_of(Gap, gaps(panels, images))}
