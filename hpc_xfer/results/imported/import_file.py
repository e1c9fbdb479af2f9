"""Take a file of results into a study, whole or not at all."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from hpc_xfer.errors import StudyError
from hpc_xfer.results.imported.combined import Combined, OwnStudy, combine, names_new_to
from hpc_xfer.results.imported.imported_cells import ON_TEST, imported_cells
from hpc_xfer.results.imported.imported_result import stored_columns
from hpc_xfer.results.imported.results_file import read_results, read_stored, refuse
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.system import atomic_files

Change = Literal["new", "replaced", "unchanged"]


@dataclass(frozen=True)
class ImportReport:
    """Result of one import: what was taken, and what was renamed, unused or new."""

    file: Path  # in the store
    change: Change
    results: int
    equal: int  # rows that repeat another one
    cells: int
    encoders: tuple[str, ...]
    datasets: tuple[str, ...]  # by their names in the tables
    renamed: Mapping[str, str]  # data sets whose test images are not the study's own
    on_test: int  # cells that no validation chose
    unused: Mapping[str, int]  # column that no table uses -> its values
    new: tuple[str, ...]  # a sentence per data set and mode that the study itself does not have

    @property
    def as_json(self) -> dict[str, object]:
        return {"schema": 1, **asdict(self), "file": str(self.file)}


def take_in(
    path: Path,
    folder: StudyDir,
    own: OwnStudy,
    percent: bool = False,
    tuned: Collection[str] = (),
    dry_run: bool = False,
) -> ImportReport:
    """Check a CSV and copy its results into the folder of a study.

    Args:
        dry_run: check everything, write nothing.

    Raises:
        StudyError: one line per error; nothing was written.
        StoreError: the folder cannot be written.
    """
    read = read_results(path, percent, tuned)
    target = stored_file(folder, path)
    others = [
        result
        for other in sorted(folder.imported.glob("*.csv"))
        if other != target
        for result in read_stored(other)
    ]
    together = combine([*others, *read.results], own)
    refuse(path, [*read.wrong, *together.wrong])
    alone = combine(read.results, own)
    results = [replace(result, place="") for _, result in alone.results]
    before = atomic_files.read_bytes(target) if target.exists() else None
    columns, rows = stored_columns(results), [result.as_row for result in results]
    text = csv_files.as_text(columns, rows)
    change: Change = "new" if before is None else "replaced"
    if before == text.encode():
        change = "unchanged"
    elif not dry_run:
        atomic_files.write_text(target, text)
    new = names_new_to(own, read.results)
    return _report(target, change, together, alone, read.unused, new)


def stored_file(folder: StudyDir, path: Path) -> Path:
    """Name the copy of a file in the folder of a study."""
    return folder.imported / f"{path.stem}.csv"


def remove(path: Path, folder: StudyDir) -> Path:
    """Remove what was imported under the name of a file.

    Raises:
        StudyError: nothing was imported under it.
    """
    target = stored_file(folder, path)
    if not target.exists():
        known = ", ".join(sorted(other.stem for other in folder.imported.glob("*.csv")))
        raise StudyError(
            f"{target}: was not imported; choose one of: {known}"
            if known
            else f"{target}: was not imported; this study has no imported results"
        )
    target.unlink()
    return target


def _report(
    target: Path,
    change: Change,
    together: Combined,
    alone: Combined,
    unused: Mapping[str, int],
    new: Sequence[str],
) -> ImportReport:
    """Describe the results of the file as the tables will show them, with those of other files."""
    mine = {(encoder.label, result.cell) for encoder, result in alone.results}
    named = {result for _, result in alone.results}
    cells = [cell for cell in imported_cells(together) if not named.isdisjoint(cell.values)]
    used = {result.dataset for _, result in alone.results}
    names = {name: new for name, new in together.datasets.items() if name in used}
    return ImportReport(
        file=target,
        change=change,
        results=len(alone.results),
        equal=alone.equal,
        cells=len(mine),
        encoders=tuple(dict.fromkeys(cell.encoder.label for cell in cells)),
        datasets=tuple(names.values()),
        renamed={name: new for name, new in names.items() if name != new},
        on_test=sum(cell.mode.endswith(ON_TEST) for cell in cells),
        unused=unused,
        new=tuple(new),
    )
