"""Keep the code of a launch in the store: its jobs run that, whatever the checkout is by then.

    snapshot = take_snapshot(store)             # store/code/c0ffee12ab34/hpc_xfer
    snapshot.command("job")                     # python -u store/code/c0ffee12ab34 hpc_xfer.job

A snapshot is named by the digest of its files, so studies and launches of the same code share one.
Files are read-only, and byte-code is there: 40,000 jobs that start need not compile it. A folder is
started, not `-m`, which would take the package of the working folder instead.
"""

import contextlib
import errno
import os
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.errors import StoreError
from hpc_xfer.store.byte_code import byte_code_of, cached_name, is_whole, read_or_empty
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.system import atomic_files, permissions, provenance
from hpc_xfer.system.package_code import (
    ORIGIN,
    PACKAGE,
    PackageFile,
    own_digest,
    own_files,
    own_origin,
    package_files,
)
from hpc_xfer.system.written_path import absolute, as_written

_FILE, _FOLDER = 0o444, 0o755  # at most; the owner may remove it with rm -r
_WRITABLE = 0o022  # by anybody but the owner, whom a shared store may trust
_LEFT_OVER_SECONDS = 24 * 60 * 60  # then a half-written one belongs to a launch that was killed
_START = '''\
"""Run a module of this copy of hpc_xfer, from any folder: python THIS_FOLDER hpc_xfer.job ..."""

import runpy
import sys

sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
'''


# `-m` would look for the package, and for all libraries, in the working folder first. A folder of
# installed packages keeps its place behind the standard library.
_START_HERE = """\
import sys
if sys.path[:1] == ['']:
    del sys.path[0]
sys.path[:0] = [each for each in [sys.argv[1]] if each not in sys.path]
sys.argv = sys.argv[2:]
import runpy
runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
"""


@dataclass(frozen=True)
class CodeSnapshot:
    """A copy of the package in a store."""

    digest: str
    path: Path  # of the folder that holds `hpc_xfer`: for PYTHONPATH

    def command(self, module: str) -> list[str]:
        """Return the command that runs a module of the snapshot, whatever the working folder is."""
        return [as_written(sys.executable), "-u", str(self.path), f"hpc_xfer.{module}"]


def current_digest() -> str:
    """Return the digest of the code that runs, which is that of the snapshot it takes.

    Raises:
        StoreError: this code is itself a snapshot, and damaged.
    """
    origin, digest = own_origin(), own_digest()
    if origin is not None and origin["digest"] != digest:
        raise StoreError(
            f"{PACKAGE.parent}: this copy of the code was changed after its launch; launch the "
            "study again, which writes it anew"
        )
    return digest


def snapshot_in(store: StoreDir) -> CodeSnapshot:
    """Name the snapshot of the code that runs; nothing is written.

    Raises:
        StoreError: as `current_digest`.
    """
    digest = current_digest()
    return CodeSnapshot(digest, absolute(store.code_snapshot(digest)))


def take_snapshot(store: StoreDir) -> CodeSnapshot:
    """Copy the code that runs into the store, unless it is there; a damaged copy is written anew.

    Raises:
        StoreError: the store cannot be written.
    """
    snapshot = snapshot_in(store)
    with contextlib.suppress(OSError):
        if os.path.samefile(snapshot.path, PACKAGE.parent):
            return snapshot  # a relay, which runs from it
    try:
        files = own_files()
        _remove_odd(snapshot.path)
        if not snapshot.path.exists():
            _write(snapshot, files)
        _Mending(snapshot, store.trusts_members).mend(files)
    except OSError as error:
        path, folder = snapshot.path, snapshot.path.parent
        remove = path if folder.is_dir() else folder  # what is in the way
        raise StoreError(
            f"{path}: the copy of the code for jobs cannot be written ({error.strerror}); "
            f"free space, or run: rm -rf {shlex.quote(str(remove))}"
        ) from error
    return snapshot


def own_command(module: str) -> list[str]:
    """Return the command that runs a module of the code that runs, snapshot or not."""
    if own_origin() is not None:
        return CodeSnapshot(PACKAGE.parent.name, PACKAGE.parent).command(module)
    start = [as_written(sys.executable), "-u", "-c", _START_HERE]
    return [*start, str(PACKAGE.parent), f"hpc_xfer.{module}"]


def _write(snapshot: CodeSnapshot, files: Mapping[str, PackageFile]) -> None:
    """Write a snapshot and give it its name in one step; another launch may be faster."""
    atomic_files.make_folder(snapshot.path.parent)
    name = f".{snapshot.digest}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    temporary = snapshot.path.parent / name
    try:
        for path, data, modified in _contents(files):
            _create(temporary / path, data, modified)
        _create(temporary / ORIGIN, atomic_files.json_bytes(provenance.code()))
        _remove_left_over(temporary)
        with contextlib.suppress(FileExistsError):
            _rename(temporary, snapshot.path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: Path, path: Path) -> None:
    """Rename a folder; FileExistsError where a full one has that name."""
    try:
        os.rename(temporary, path)
    except OSError:
        if not path.is_dir():
            raise
        raise FileExistsError from None


def _create(path: Path, data: bytes, modified: int | None = None) -> None:
    """Write a new read-only file; `modified` is its time in ns."""
    atomic_files.make_folder(path.parent, _FOLDER)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE), "wb") as file:
        file.write(data)
        file.flush()
        if modified is not None:
            os.utime(file.fileno(), ns=(modified, modified))


def _replace(path: Path, data: bytes, modified: int | None = None) -> None:
    """Write a read-only file in place of an older one, in one step."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        _create(temporary, data, modified)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_left_over(temporary: Path) -> None:
    """Remove what launches left that were killed while they wrote, by the file server's clock."""
    now = temporary.lstat().st_mtime
    for other in temporary.parent.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if now - other.lstat().st_mtime > _LEFT_OVER_SECONDS:
                shutil.rmtree(other, ignore_errors=True)


def _remove_odd(path: Path) -> None:
    """Remove links, pipes and the like, in a snapshot or in its place: its files are copies."""
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found):
        if not stat.S_ISREG(found):
            path.unlink()
        return
    for inside, folders, files in os.walk(path):
        for entry in (Path(inside, name) for name in (*folders, *files)):
            mode = entry.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                entry.unlink()


@dataclass(frozen=True)
class _Mending:
    """Writes anew, file by file, what differs in a snapshot; jobs may start meanwhile."""

    snapshot: CodeSnapshot
    trusts_members: bool

    def mend(self, files: Mapping[str, PackageFile]) -> None:
        package = self.snapshot.path / PACKAGE.name
        _remove_strangers(self.snapshot.path)
        found = package_files(package) if package.is_dir() else {}
        for name in found.keys() - files.keys():
            (package / name).unlink()
        for name, file in files.items():
            there = found.get(name)
            if there is None or there.data != file.data or not self._is_safe(there.status):
                _replace(package / name, file.data, file.modified)
                there = file
            if name.endswith(".py"):
                self._mend_byte_code(package / cached_name(name), name, there)
        start = self.snapshot.path / "__main__.py"
        if read_or_empty(start) != _START.encode() or not self._is_safe_file(start):
            _replace(start, _START.encode())
        self._protect()
        self._tell_origin()

    def _is_safe(self, found: os.stat_result) -> bool:
        """Tell whether nobody may write to a file, but its owner where we trust him."""
        if found.st_mode & _WRITABLE:
            return False
        return permissions.other_writer(found, members=self.trusts_members) is None

    def _is_safe_file(self, path: Path) -> bool:
        try:
            return self._is_safe(path.lstat())
        except FileNotFoundError:
            return True

    def _mend_byte_code(self, path: Path, name: str, file: PackageFile) -> None:
        """Write byte-code anew where Python would not take it, or others may have written it."""
        is_safe = self._is_safe_file(path)
        if is_safe and is_whole(read_or_empty(path), file):
            return
        byte_code = byte_code_of(name, file)
        if byte_code is None:
            path.unlink(missing_ok=True)
            return
        try:
            _replace(path, byte_code)
        except PermissionError:
            if not is_safe:  # else of another user: their jobs share it, too
                raise

    def _protect(self) -> None:
        """Take the right to write from others; remove what they wrote for other Pythons."""
        for inside, _, files in os.walk(self.snapshot.path):
            for path in (Path(inside, name) for name in files if name.endswith(".pyc")):
                if not self._is_safe_file(path):
                    path.unlink()
            if not self._is_safe(os.lstat(inside)):
                _take_rights(inside)

    def _tell_origin(self) -> None:
        """Tell the commit: the first one with this code that had no changes beside it."""
        path = self.snapshot.path / ORIGIN
        known = atomic_files.read_json(path)
        is_whole = isinstance(known, dict) and known.get("digest") == self.snapshot.digest
        is_whole = is_whole and self._is_safe_file(path)
        if is_whole and known.get("dirty") is False:
            return
        told = provenance.code()
        if not is_whole or told["dirty"] is False:
            with contextlib.suppress(PermissionError):  # of another user
                _replace(path, atomic_files.json_bytes(told))


def _take_rights(folder: str) -> None:
    """Let nobody but the owner write to a folder; PermissionError where we are not he."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if found.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), folder)
        os.fchmod(handle, found.st_mode & ~_WRITABLE & 0o777)
    finally:
        os.close(handle)


def _remove_strangers(folder: Path) -> None:
    """Remove what is not ours beside the package: PYTHONPATH begins here, before all libraries."""
    ours = (PACKAGE.name, "__main__.py", "__pycache__", ORIGIN)
    for path in folder.iterdir():
        if path.name in ours or path.suffix == ".tmp":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _contents(files: Mapping[str, PackageFile]) -> Iterator[tuple[str, bytes, int | None]]:
    """Yield path, content and time of what stands in a snapshot, byte-code of the package too."""
    yield "__main__.py", _START.encode(), None
    for name, file in files.items():
        yield f"{PACKAGE.name}/{name}", file.data, file.modified
        if name.endswith(".py") and (byte_code := byte_code_of(name, file)):
            yield f"{PACKAGE.name}/{cached_name(name)}", byte_code, None
