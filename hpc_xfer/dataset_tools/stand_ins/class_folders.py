"""Caltech-101 and EuroSAT: a folder per class."""

from pathlib import Path

from hpc_xfer.config.dataset_cards import SplitCounts, card
from hpc_xfer.dataset_tools.stand_ins.tiny_images import write

CALTECH, EUROSAT = 4, 6  # images of a class


def caltech101(root: Path) -> SplitCounts:
    """Write 101 classes, BACKGROUND_Google with its file `tmp`, and what macOS leaves."""
    folder, classes = root / "caltech101/101_ObjectCategories", card("caltech101").folders
    for label, name in enumerate(classes):
        for i in range(CALTECH):
            write(folder / name / f"image_{i + 1:04d}.jpg", label, i)
    for i in range(2):
        write(folder / f"BACKGROUND_Google/image_{i + 1:04d}.jpg", 500, i)
    (folder / "BACKGROUND_Google/tmp").write_text("left by its makers")
    (folder / "ant/._image_0001.jpg").write_bytes(b"\0\5\26\7macOS")
    return SplitCounts(train=(CALTECH - 1) * len(classes), test=len(classes))


def eurosat(root: Path) -> SplitCounts:
    folder, classes = root / "eurosat/2750", card("eurosat").folders
    for label, name in enumerate(classes):
        for i in range(EUROSAT):
            write(folder / name / f"{name}_{i + 1}.jpg", label, i)
    return SplitCounts(train=(EUROSAT - 1) * len(classes), test=len(classes))
