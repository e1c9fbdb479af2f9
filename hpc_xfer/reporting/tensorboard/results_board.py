"""Write the results of a study where TensorBoard shows them beside the curves of pre-trainings.

    tensorboard --logdir STORE/studies/NAME/tb

The CSVs alone are read. tb/results/ is replaced as a whole; the links beside it, to the event files
of the pre-trainings, stay as they are.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpc_xfer.errors import StoreError
from hpc_xfer.reporting.tensorboard.board_run import BoardRun
from hpc_xfer.reporting.tensorboard.cell_runs import curve_runs, session_runs
from hpc_xfer.reporting.tensorboard.event_file import encode
from hpc_xfer.reporting.tensorboard.pretraining_runs import pretraining_runs
from hpc_xfer.reporting.tensorboard.shot_steps import shot_steps
from hpc_xfer.reporting.tensorboard.words import about
from hpc_xfer.results.averages import read_averages
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.system import atomic_files, set_aside


def write_tensorboard(study: StudyDir, figures: Sequence[Path]) -> Path:
    """Write tb/results/ of a study and return it.

    Args:
        figures: PNG files; the name of each is its name in TensorBoard.

    Raises:
        StoreError: the CSVs are not there (collect first), or the folder cannot be written.
    """
    runs = [*_board_runs(study, figures)]
    folder = study.tensorboard / "results"
    unfinished = study.path / f".tb.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        try:
            atomic_files.make_folder(unfinished)
            for run in runs:
                _write(run, unfinished / run.name)
            atomic_files.make_folder(study.tensorboard)
            _replace(folder, unfinished)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror or error}); free space or fix the "
            "permissions, then report again"
        ) from error
    return folder


def _board_runs(study: StudyDir, figures: Sequence[Path]) -> Iterator[BoardRun]:
    runs = csv_files.read(study.summary / "runs.csv")
    averages = read_averages(csv_files.read(study.summary / "averages.csv"))
    cells = csv_files.read(study.summary / "cells.csv")
    steps = shot_steps(averages, cells)
    yield BoardRun("about", text=about(steps))
    yield from curve_runs(averages, steps)
    yield from session_runs(averages, cells, steps)
    yield from pretraining_runs(runs)
    if images := {f"figures/{path.stem}": data for path, data in _images(figures)}:
        yield BoardRun("figures", images=images)


def _images(figures: Sequence[Path]) -> Iterator[tuple[Path, bytes]]:
    for path in figures:
        try:
            yield path, atomic_files.read_bytes(path)
        except atomic_files.OddFile as odd:  # put there by others
            set_aside.note(path, str(odd))


def _write(run: BoardRun, folder: Path) -> None:
    """Write the event file; its name changes with its content, so that TensorBoard reads it again.

    TensorBoard's own data server does so while it runs; the slower loader, which it has on machines
    without that, must be started again.
    """
    data = encode(run)
    digest = hashlib.sha256(data).hexdigest()[:12]
    atomic_files.make_folder(folder)
    (folder / f"events.out.tfevents.{digest}").write_bytes(data)


def _replace(folder: Path, made: Path) -> None:
    """Put a finished folder in place of another one; a second report may do the same."""
    replaced = made.with_suffix(".old")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(replaced)
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        # The other report was faster, and has the same tables.
    if replaced.is_symlink():  # which rmtree leaves
        replaced.unlink()
    shutil.rmtree(replaced, ignore_errors=True)
