"""Make the figures of a study from its CSVs alone.

    draw(study_dir.summary, study_dir.figures)

The same CSVs give the same bytes. A figure is a PNG to look at, an SVG for the web, a PDF for the
paper, and a CSV of what is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.reporting.charts.accuracy import accuracy_charts, gain_charts, snapshot_charts
from hpc_xfer.reporting.charts.chart import Chart
from hpc_xfer.reporting.charts.cost import cost_charts
from hpc_xfer.reporting.charts.methods import method_charts
from hpc_xfer.reporting.charts.ranges import curation_charts, range_charts
from hpc_xfer.reporting.charts.ranking import rank_charts
from hpc_xfer.reporting.charts.size import size_charts
from hpc_xfer.reporting.charts.tables import FigureTables, read_tables
from hpc_xfer.reporting.drawing import canvas, page
from hpc_xfer.results.tables import csv_files
from hpc_xfer.system import atomic_files

# In the order of the questions of a study; a new kind of figure is one more of these.
_KINDS = (
    accuracy_charts, range_charts, size_charts, curation_charts, method_charts, gain_charts,
    rank_charts, cost_charts, snapshot_charts,
)  # fmt: skip


@dataclass(frozen=True)
class FigureFile:
    """One figure on disk."""

    title: str
    caption: str
    png: Path
    svg: Path
    pdf: Path
    csv: Path
    question: str

    @property
    def files(self) -> tuple[Path, ...]:
        return self.png, self.svg, self.pdf, self.csv


def draw(summary: Path, figures: Path) -> list[FigureFile]:
    """Draw every figure that the CSVs in `summary` allow; a table that is not there gives none.

    Raises:
        StoreError: averages.csv is not there, or `figures` cannot be written.
    """
    tables = read_tables(summary)
    with canvas.style():
        return [_save(name, chart, figures) for name, chart in _named(tables)]


def _named(tables: FigureTables) -> Iterator[tuple[str, Chart]]:
    """Yield all figures with a name of their own: `a$` and `a&` are both `a` in a file name."""
    used: dict[str, int] = {}
    for kind in _KINDS:
        for chart in kind(tables):
            used[chart.name] = used.get(chart.name, 0) + 1
            number = used[chart.name]
            yield (chart.name if number == 1 else f"{chart.name}-{number}"), chart


def _save(name: str, chart: Chart, folder: Path) -> FigureFile:
    for kind, data in page.drawn(chart).items():
        atomic_files.write_bytes(folder / f"{name}.{kind}", data)
    csv_files.write(folder / f"{name}.csv", *chart.table)
    paths = {kind: folder / f"{name}.{kind}" for kind in (*canvas.FORMATS, "csv")}
    return FigureFile(chart.title, chart.caption, question=chart.question, **paths)
