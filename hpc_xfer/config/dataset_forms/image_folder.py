"""Image folders: `train/CLASS/*` and `test/CLASS/*`; classes are the folders in sorted order."""

from pathlib import Path

from hpc_xfer.config.dataset_forms.listing import IMAGE_SUFFIXES, is_image, visible
from hpc_xfer.errors import DataError

SPLITS = ("train", "test")


def list_images(folder: Path) -> dict[str, list[Path]]:
    """List image files by class folder, both sorted by name: the order of class numbers.

    Hidden entries are skipped: macOS leaves `._photo.jpg` beside photo.jpg.

    Raises:
        DataError: there is no such folder, no class folder, or a class without image files.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; images go into {folder}/CLASS/")
    classes = sorted(path for path in visible(folder) if path.is_dir())
    if not classes:
        raise DataError(f"{folder}: has no class folders; images go into {folder}/CLASS/")
    images = {path.name: sorted(filter(is_image, visible(path))) for path in classes}
    for name, paths in images.items():
        if not paths:
            raise DataError(
                f"{folder / name}: holds no image files ({' '.join(sorted(IMAGE_SUFFIXES))}); add "
                "some or remove the folder"
            )
    return images


def class_name(folder: str) -> str:
    """Turn a folder's name into words for prompts: `golden_retriever` is two words."""
    return folder.replace("_", " ").strip()
