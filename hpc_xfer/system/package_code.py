"""Read the files of this package, and name them by a digest.

A launch copies the package into its store (see store/code_snapshot.py), with a file beside it that
says where the copy comes from.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hpc_xfer
from hpc_xfer.system import atomic_files

PACKAGE = Path(hpc_xfer.__file__).parent
ORIGIN = "code.json"  # beside a copy: version, commit, dirty, digest of the code at its launch
_DIGITS = 12


@dataclass(frozen=True)
class PackageFile:
    """One file of a package, byte-code left out."""

    data: bytes
    modified: int  # ns: byte-code is valid for this time
    status: os.stat_result


def package_files(package: Path) -> dict[str, PackageFile]:
    """Read all files of a package, by their path in it: data files too, but no byte-code."""
    return {name: _read(os.path.join(package, name)) for name in sorted(_names(str(package)))}


def digest_of(files: Mapping[str, PackageFile]) -> str:
    """Return 12 hex digits that stand for the paths and the content of the files."""
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name}\0{len(file.data)}\0".encode())
        digest.update(file.data)
    return digest.hexdigest()[:_DIGITS]


@cache
def own_files() -> dict[str, PackageFile]:
    """Read the files of the package that runs, once: a checkout may change meanwhile."""
    return package_files(PACKAGE)


@cache
def own_digest() -> str:
    """Return the digest of the package that runs, from its files."""
    return digest_of(own_files())


@cache
def own_origin() -> dict[str, Any] | None:
    """Read where the package that runs was copied from; None where it is no copy of a launch."""
    found = atomic_files.read_json(PACKAGE.parent / ORIGIN)
    if isinstance(found, dict) and found.get("digest") == PACKAGE.parent.name:
        return found
    return None


def _names(package: str) -> Iterator[str]:
    for folder, folders, files in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__" and name[0] != "."]
        inside = os.path.relpath(folder, package)
        for name in files:
            if name[0] != "." and not name.endswith((".pyc", "~")):  # else: of an editor
                yield name if inside == "." else f"{inside}/{name}"


def _read(path: str) -> PackageFile:
    with open(atomic_files.open_plainly(path, follow=True), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        return PackageFile(file.readall(), status.st_mtime_ns, status)
