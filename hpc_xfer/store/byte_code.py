"""Byte-code of the package beside its files, so that 40,000 jobs need not compile it."""

import importlib.util
import marshal
import sys
from pathlib import Path

from hpc_xfer.system import atomic_files
from hpc_xfer.system.package_code import PACKAGE, PackageFile


def byte_code_of(name: str, file: PackageFile) -> bytes | None:
    """Take byte-code from the package, else compile; None where the file has an error.

    It is valid for the time and the size of its file, so a copy of both stays valid.
    """
    found = read_or_empty(PACKAGE / cached_name(name))
    if is_whole(found, file):
        return found
    try:
        return _head(file) + marshal.dumps(compile(file.data, name, "exec", dont_inherit=True))
    except (SyntaxError, ValueError):
        return None  # a job that imports it says why


def cached_name(name: str) -> str:
    """Return where Python looks for the byte-code of a file."""
    folder, _, file = name.rpartition("/")
    found = f"__pycache__/{file[:-3]}.{sys.implementation.cache_tag}.pyc"
    return f"{folder}/{found}" if folder else found


def _head(file: PackageFile) -> bytes:
    """Return the first bytes of byte-code: version of Python, no flags, time and size of a file."""
    numbers = (0, file.modified // 10**9 & 0xFFFFFFFF, len(file.data) & 0xFFFFFFFF)
    return importlib.util.MAGIC_NUMBER + b"".join(n.to_bytes(4, "little") for n in numbers)


def is_whole(byte_code: bytes, file: PackageFile) -> bool:
    """Check the head, and that the rest was not cut off; Python would import neither."""
    if not byte_code.startswith(head := _head(file)):
        return False
    try:
        marshal.loads(byte_code[len(head) :])
    except (EOFError, ValueError, TypeError):
        return False
    return True


def read_or_empty(path: Path) -> bytes:
    """Read a file; nothing where it is absent or odd."""
    try:
        return atomic_files.read_bytes(path)
    except (OSError, atomic_files.OddFile):
        return b""
