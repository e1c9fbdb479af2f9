"""Write report.html of a study, from its CSVs alone."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from hpc_xfer.reporting import figures, latex_tables
from hpc_xfer.reporting.earlier_files import replace_list
from hpc_xfer.reporting.figures import FigureFile
from hpc_xfer.reporting.page_data import contents, page_data
from hpc_xfer.results.averages import read_averages
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import atomic_files
from hpc_xfer.system.screen.plain_text import plain

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPT = _TEMPLATES / "tables.js"
MOST_SVG = 8 * 1024**2  # bytes of all figures; a page with more is slow to open on a phone


@dataclass(frozen=True)
class PageFigure:
    """One figure of the page: the picture in it, and links to its files."""

    title: str
    caption: str
    question: str
    image: str  # data URI
    links: dict[str, str]  # PNG, SVG, ... -> address relative to the page


def write(study: Study, folder: StudyDir, public: bool = False) -> Path:
    """Draw all figures, write the tables in LaTeX, and report.html.

    The page of an unfinished study says what is missing.

    Args:
        public: leave out where its curves lie.

    Raises:
        StoreError: the CSVs are not there (collect first), or the folder cannot be written.
    """
    values = page_data(study, folder)
    drawn = figures.draw(folder.summary, folder.figures)
    averages = read_averages(csv_files.read(folder.summary / "averages.csv"))
    latex = latex_tables.write(averages, folder.figures)
    replace_list(folder.figures, [*latex, *(path for each in drawn for path in each.files)])
    html = _template().render(
        values,
        public=public,
        contents=contents(values, with_figures=bool(drawn)),
        figures=_by_question(page_figures(drawn, folder.path)),
        latex={path.name: _address(path, folder.path) for path in latex},
        script_digest=_digest(_SCRIPT),
    )
    atomic_files.write_text(folder.report, html)
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
        finalize=_shown,
    )
    return environment.get_template("report.html.j2")


def _shown(value: object) -> object:
    """Show letters of a text that turn or hide others; what macros made is done already."""
    return plain(value, lines=True) if type(value) is str else value


def page_figures(drawn: Sequence[FigureFile], home: Path) -> list[PageFigure]:
    """Put each figure into the page: as SVG, or as PNG where all SVGs together are too large."""
    size = sum(figure.svg.stat().st_size for figure in drawn)
    return [
        PageFigure(
            title=figure.title,
            caption=figure.caption,
            question=figure.question,
            image=_data_uri(figure.svg if size <= MOST_SVG else figure.png),
            links=_links(figure.files, home),
        )
        for figure in drawn
    ]


def _by_question(found: Sequence[PageFigure]) -> dict[str, list[PageFigure]]:
    """Question -> its figures, in their order."""
    groups: dict[str, list[PageFigure]] = {}
    for figure in found:
        groups.setdefault(figure.question, []).append(figure)
    return groups


def _address(file: Path, home: Path) -> str:
    return quote(file.relative_to(home).as_posix())


def _links(files: Iterable[Path], home: Path) -> dict[str, str]:
    """Name each file that exists by its kind: PNG, SVG, PDF, CSV."""
    return {file.suffix[1:].upper(): _address(file, home) for file in files if file.exists()}


def _data_uri(image: Path) -> str:
    """Put the file itself into the page, as an image: ids in it cannot clash with others."""
    kind = {".svg": "svg+xml", ".png": "png"}[image.suffix]
    return f"data:image/{kind};base64,{base64.b64encode(image.read_bytes()).decode()}"


def _digest(script: Path) -> str:
    """Name the script by its content, for the page's Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.read_bytes()).digest()).decode()}"
