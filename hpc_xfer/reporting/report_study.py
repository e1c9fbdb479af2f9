"""Report a study: the page with its figures, and the results for TensorBoard."""

from pathlib import Path

from hpc_xfer.reporting import report_page
from hpc_xfer.reporting.tensorboard.results_board import write_tensorboard
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.study.study_file import Study


def report_study(study: Study, folder: StudyDir) -> Path:
    """Write all that is made from the CSVs and return the path of report.html.

    Raises:
        StoreError: the CSVs are not there (collect first), or the folder cannot be written, or is
            a link.
    """
    folder.check_is_no_link()
    page = report_page.write(study, folder)
    write_tensorboard(folder, sorted(folder.figures.glob("*.png")))
    return page
