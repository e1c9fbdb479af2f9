"""Write report.html of a study, from its CSVs alone."""

from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer.reporting import figures
from hpc_xfer.reporting.accuracy_matrix import percent
from hpc_xfer.reporting.figure_data import shots_text
from hpc_xfer.reporting.page_data import page_data, read_tables
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import atomic_files

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = Path(__file__).parent / "templates"


def write(study: Study, folder: StudyDir) -> Path:
    """Draw all figures and write report.html; it says what is missing in an unfinished study.

    Raises:
        StoreError: the CSVs are not there (collect first), or the folder cannot be written.
    """
    tables = read_tables(folder.summary)
    drawn = figures.draw(folder.summary, folder.figures)
    page = _template().render(page_data(study, tables, drawn))
    atomic_files.write_text(folder.report, page)
    return folder.report


def _template() -> "Template":
    """The page; a variable that it names and does not get is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": percent,
        "shots_text": shots_text,
        "thousands": lambda number: f"{number:,}",
    }
    return environment.get_template("report.html.j2")
