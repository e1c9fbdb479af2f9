"""Write the report of a study for others, and search it for names of machines, people and places.

write_public_report(study, store, folder)   # -> STORE/studies/NAME/public/report.html
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer.errors import StoreError, StudyError
from hpc_xfer.reporting import report_page
from hpc_xfer.reporting.public.private_words import Found, private_words
from hpc_xfer.reporting.public.public_tables import write_public_tables
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import atomic_files
from hpc_xfer.system.screen.plain_text import plain

_TOLD = 10  # words that were found


def write_public_report(
    study: Study, store: Store, folder: StudyDir, allowed: Sequence[str] = ()
) -> Path:
    """Replace public/ of a study as a whole, and return its page.

    Args:
        allowed: words that are no names, though a host or a user is called so.

    Raises:
        StudyError: a file would hold a private word; nothing was published.
        StoreError: the CSVs are not there (collect first), or the folder cannot be written.
    """
    words = private_words(store, folder, frozenset(word.lower() for word in allowed))
    made = StudyDir(folder.path / f".public.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        write_public_tables(folder.summary, made.summary)
        report_page.write(study, made, public=True)
        _refuse(folder.public, [*words.found_in(made.path)])
        _replace(folder.public.path, made.path)
    except OSError as error:
        raise StoreError(
            f"{folder.public.path}: cannot be written ({error.strerror or error}); free space or "
            "fix the permissions, then report again"
        ) from error
    finally:
        shutil.rmtree(made.path, ignore_errors=True)
    return folder.public.report


def _refuse(public: StudyDir, found: Sequence[Found]) -> None:
    if not found:
        return
    sentences = [
        f"{public.path / each.file}: would hold `{plain(each.word)}`, {each.what}: "
        f"{plain(each.around, most=120)}"
        for each in found[:_TOLD]
    ]
    more = f" ({len(found):,} in all)" if len(found) > _TOLD else ""
    raise StudyError(
        *sentences,
        f"nothing was published{more}; rename it in the grid, or add --allow WORD if it names "
        "nobody",
    )


def _replace(folder: Path, made: Path) -> None:
    """Put the finished folder in place of an earlier one."""
    earlier = made.with_suffix(".old")
    atomic_files.make_folder(folder.parent)
    if os.path.lexists(folder):
        folder.rename(earlier)
    made.rename(folder)
    if earlier.is_dir() and not earlier.is_symlink():
        shutil.rmtree(earlier, ignore_errors=True)
    else:
        earlier.unlink(missing_ok=True)
