"""Make the stand-ins of a study, and a site file that names them for the same cluster."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from hpc_xfer.config.recipes import Architecture
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.training_data.source_needs import SourceNeeds
from hpc_xfer.dataset_tools.stand_ins.packaged import WRITERS, site_entry
from hpc_xfer.dataset_tools.stand_ins.shards import write_source
from hpc_xfer.dataset_tools.stand_ins.weights import write_weights
from hpc_xfer.errors import StudyError
from hpc_xfer.system import atomic_files

# A tiny architecture, and the entry of the user's site file for the weights that it replaces.
StandInFor = tuple[Architecture, ReleasedEntry | None]
_CLASSES = ("badger", "fox", "raven")  # of a stand-in for a data set of the user's own
_IMAGES = {"train": 30, "test": 4}  # per class


def make_stand_ins(
    folder: Path,
    sources: Mapping[str, SourceNeeds],
    datasets: Iterable[str],
    weights: Mapping[str, StandInFor],
    site_file: Path | None,
) -> Path:
    """Write the stand-ins into a folder, and return their site file.

    Args:
        weights: by the name under `released`.
        site_file: of the user; its `slurm` is copied as it is written, variables included.

    Raises:
        StudyError: a data set or a selection has no stand-in.
        StoreError: the folder cannot be written.
    """
    atomic_files.make_folder(folder)
    content: dict[str, Any] = {"sources": {}, "datasets": {}, "released": {}}
    for name, needs in sources.items():
        place = _folder(folder / "sources", name)
        write_source(place, needs)
        content["sources"][name] = str(place)
    for name in datasets:
        entry = _dataset(name, _folder(folder / "datasets", name))
        content["datasets"].update({} if entry is None else {name: entry})
    for name, (arch, entry) in weights.items():
        content["released"][name] = write_weights(_folder(folder / "released", name), arch, entry)
    content |= _kept(site_file)
    path = folder / "site.yaml"
    atomic_files.write_text(path, yaml.safe_dump(content, sort_keys=False))
    return path


def _folder(parent: Path, name: str) -> Path:
    """Return a folder for a name of the grid, which may look like a path."""
    plain = quote(name, safe=" ")
    return parent / (f"%2E{plain[1:]}" if plain.startswith(".") else plain)


def _dataset(name: str, root: Path) -> Any:
    """Write a packaged data set, or an image folder; None for those that packages hold."""
    if name in ("digits", "mnist5k"):
        return None
    if ":" in name:
        raise StudyError(
            f"data set {name!r}: torchvision's data sets have no stand-in; rehearse on real data, "
            "or leave it out with --set finetune.datasets=..."
        )
    atomic_files.make_folder(root)
    with atomic_files.as_store_error(root):
        return site_entry(name, root) if name in WRITERS else _image_folder(root)


def _image_folder(root: Path) -> str:
    from hpc_xfer.dataset_tools.stand_ins.tiny_images import write

    for split, images in _IMAGES.items():
        for label, name in enumerate(_CLASSES):
            for i in range(images):
                write(root / split / name / f"{i}.jpg", label, i + 1000 * (split == "test"))
    return str(root)


def _kept(site_file: Path | None) -> dict[str, Any]:
    """Read what a site says of the cluster, with its variables as they are written."""
    if site_file is None:
        return {}
    written = yaml.safe_load(atomic_files.read_bytes(site_file, follow=True).decode()) or {}
    return {key: written[key] for key in ("slurm", "trust_store_members") if key in written}
