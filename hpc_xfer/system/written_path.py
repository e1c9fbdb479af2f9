"""Make paths absolute as their user wrote them, links unresolved.

A link of the login node may be a mount of its own on the compute nodes, or lead elsewhere there:
only the path that the user wrote leads to the same folder on both.
"""

import os
from pathlib import Path


def absolute(path: Path | str) -> Path:
    """Return an absolute path to the same place, with the user's spelling of the working folder.

    `..` goes only where the folder before it is no link: behind a link it leads elsewhere.
    """
    path = _working_folder() / path
    kept: list[str] = []
    for part in path.parts[1:]:
        behind = Path(path.anchor, *kept)
        if part != ".." or kept[-1:] == [".."] or os.path.islink(behind):
            kept.append(part)
        elif kept:
            kept.pop()
    return Path(path.anchor, *kept)


def as_written(path: str) -> str:
    """Respell a path that was made with getcwd(), such as sys.executable, as the user came here.

    getcwd() resolves links: /scratch/me/.venv/bin/python is /mnt/disk7/me/.venv/bin/python to it.
    """
    if not os.path.isabs(path):  # Python was found by a PATH that is relative
        return str(absolute(path))
    written, real = _working_folder(), Path.cwd()
    while written.name == real.name != "" and _same(written.parent, real.parent):
        written, real = written.parent, real.parent
    if not Path(path).is_relative_to(real):
        return path
    respelled = written / Path(path).relative_to(real)
    return str(respelled) if _same(respelled, path) else path


def _working_folder() -> Path:
    """$PWD, where that is the working folder: a shell keeps the links in it by which one came."""
    told = os.environ.get("PWD", "")
    return Path(told) if os.path.isabs(told) and _same(told, ".") else Path.cwd()


def _same(path: Path | str, other: Path | str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False
