"""Write report.html of a study, from its CSVs alone."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer.reporting import figures
from hpc_xfer.reporting.accuracy_matrix import percent
from hpc_xfer.reporting.figure_data import shots_text
from hpc_xfer.reporting.page_data import page_data
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
    values = page_data(study, folder.summary)
    drawn = figures.draw(folder.summary, folder.figures)
    atomic_files.write_text(folder.report, _template().render(values, figures=drawn))
    return folder.report


def _template() -> "Template":
    """Load the page; a variable that it names and does not get is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "shots_text": shots_text, "data_uri": _data_uri}
    return environment.get_template("report.html.j2")


def _data_uri(svg: Path) -> str:
    """Put the file itself into the page, as an image: ids in it cannot clash with others."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.read_bytes()).decode()}"
