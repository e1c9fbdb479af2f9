"""What is particular to a cluster or a machine: where data lies. Grids stay free of it.

Found by --site, else $HPC_XFER_SITE, else ~/.config/hpc_xfer/site.yaml, else nothing is set.
"""

import os
from pathlib import Path

from hpc_xfer import document
from hpc_xfer.nouns import Noun, validate


class Site(Noun):
    """Paths are relative to the site file."""

    store: str | None = None  # where --store is not given
    sources: dict[str, str] = {}  # name -> folder of tar shards with an index.json
    datasets: dict[str, str] = {}  # name -> image folder with train/<class>/ and test/<class>/
    released: dict[str, str] = {}  # name -> file with weights


def find(given: Path | None) -> Path | None:
    """The site file in force, or None."""
    if given is not None:
        return given
    if named := os.environ.get("HPC_XFER_SITE"):
        return Path(named)
    personal = Path.home() / ".config/hpc_xfer/site.yaml"
    return personal if personal.exists() else None


def load(given: Path | None) -> Site:
    """The site with absolute paths.

    Raises:
        StudyError: a named file is absent or wrong.
    """
    path = find(given)
    if path is None:
        return Site()
    doc = document.load(path)
    site, mistakes = validate(Site, doc.data)
    if site is None:
        raise doc.refusal(mistakes)
    return site.model_copy(
        update={
            "store": site.store and _absolute(path, site.store),
            "sources": {name: _absolute(path, to) for name, to in site.sources.items()},
            "datasets": {name: _absolute(path, to) for name, to in site.datasets.items()},
            "released": {name: _absolute(path, to) for name, to in site.released.items()},
        }
    )


def _absolute(site_file: Path, to: str) -> str:
    return str((site_file.parent / Path(to).expanduser()).resolve())
