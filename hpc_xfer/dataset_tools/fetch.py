"""Fetch a packaged data set: download, check, unpack, and list what is there then.

A folder may hold several data sets, which share archives. DIR/archives/ holds downloads and a note
per archive that was unpacked. An archive that was copied there by hand is used, not downloaded.
"""

import contextlib
import errno
import fcntl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hpc_xfer.config.dataset_cards import Archive, DatasetCard
from hpc_xfer.dataset_tools.download import Patience, check_sum, download
from hpc_xfer.dataset_tools.presence import Presence, look
from hpc_xfer.dataset_tools.unpack import is_archive, unpack
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.terminal import ProgressCallback, shown_bytes

_SCHEMA = 1  # of a note
_NO_LOCKS_HERE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)  # Lustre without -o flock


@dataclass(frozen=True)
class HowToFetch:
    """Options of a fetch."""

    mirror: str | None = None  # archives are looked up as MIRROR/<file name>
    keep_archives: bool = False
    patience: Patience = field(default_factory=Patience)
    shown: Callable[[str], AbstractContextManager[ProgressCallback]] = shown_bytes


@dataclass(frozen=True)
class Fetched:
    """Result of a fetch."""

    root: Path
    archives: tuple[str, ...]  # that were unpacked now; none if all was there
    presence: Presence


def archives_of(card: DatasetCard) -> list[Archive]:
    """All archives of a data set and its further test sets, each file once."""
    every = [*card.archives, *(a for other in card.further.values() for a in other.archives)]
    return list({file_name(archive): archive for archive in every}.values())


def file_name(archive: Archive) -> str:
    return urlsplit(archive.url).path.rpartition("/")[2]


def fetch(card: DatasetCard, root: Path, how: HowToFetch) -> Fetched:
    """Make `root` hold a data set; what is there already is left alone.

    Raises:
        DataError: it must be fetched by hand, an archive cannot be had or is another one, the disk
            is full, or what was unpacked is not the data set.
        StoreError: a note cannot be written.
    """
    before = look(card, root)
    if before.is_there and not before.lacking:
        return Fetched(root, (), before)
    if card.manual is not None:
        raise DataError(f"{card.name} must be fetched by hand into {root}: {card.manual}")
    folder = root / "archives"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        every = archives_of(card)
        if all(_is_unpacked(archive, root) for archive in every):
            for archive in every:  # files were lost or changed since they were unpacked
                _note(root, archive).unlink()
        done = []
        for archive in every:
            with _locked(folder / f"{file_name(archive)}.lock"):
                if not _is_unpacked(archive, root):
                    _fetch_archive(archive, root, how)
                    done.append(file_name(archive))
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{folder}: cannot be written ({why}); choose another --to") from error
    return Fetched(root, tuple(done), look(card, root, must_be_there=True))


def _fetch_archive(archive: Archive, root: Path, how: HowToFetch) -> None:
    name = file_name(archive)
    path = root / "archives" / name
    if not path.exists():
        url = archive.url if how.mirror is None else f"{how.mirror.rstrip('/')}/{name}"
        room = 2.0 if is_archive(name) else 1.0  # images are compressed as much as the archive
        with how.shown(name) as progress:
            download(url, path, progress, how.patience, room)
    with how.shown(f"checking {name}") as progress:
        check_sum(archive, path, progress)
    with how.shown(f"unpacking {name}") as progress:
        entries = unpack(path, root / archive.unpack, archive.inside, progress)
    note = {"schema": _SCHEMA, "archive": archive.model_dump(mode="json"), "entries": entries}
    atomic_files.write_json(_note(root, archive), note)
    if not how.keep_archives:
        path.unlink()


def _is_unpacked(archive: Archive, root: Path) -> bool:
    """Return whether the very same archive was unpacked, and its first entries are still there."""
    note = atomic_files.read_json(_note(root, archive), follow=True)
    if not isinstance(note, dict) or note.get("archive") != archive.model_dump(mode="json"):
        return False
    return all((root / archive.unpack / entry).exists() for entry in note.get("entries", ()))


def _note(root: Path, archive: Archive) -> Path:
    return root / "archives" / f"{file_name(archive)}.unpacked.json"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends.

    Raises:
        DataError: another process holds it.
    """
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"{path}: another fetch is getting this archive; wait for it, then call again"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
        yield
