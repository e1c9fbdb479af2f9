"""Data sets with lists of images and labels: DTD, Pets, DomainNet, Cassava."""

from pathlib import Path

from hpc_xfer.config.dataset_cards import SplitCounts, card
from hpc_xfer.dataset_tools.stand_ins.tiny_images import write

DTD, PETS, CASSAVA = 2, 3, (7, 8, 9, 30, 10)  # images of a class: per split, in trainval, in all
DOMAIN = {"train": 2, "test": 1}


def dtd(root: Path) -> SplitCounts:
    """Write the lists of ten partitions' first, sorted by class, and the joint labels."""
    folder, classes = root / "dtd/dtd", card("dtd").folders
    (folder / "labels").mkdir(parents=True)
    for part, split in enumerate(("train", "val", "test")):
        lines = []
        for label, name in enumerate(classes):
            for i in range(part * DTD, (part + 1) * DTD):
                lines.append(f"{name}/{name}_{i + 1:04d}.jpg")
                write(folder / "images" / lines[-1], label, i)
        (folder / f"labels/{split}1.txt").write_text("\n".join(lines) + "\n")
        (folder / f"labels/{split}2.txt").write_text("\n".join(lines[::-1]) + "\n")
    (folder / "images/banded/.directory").touch()
    images = DTD * len(classes)
    return SplitCounts(train=images, val=images, test=images)


def pets(root: Path) -> SplitCounts:
    """Write 37 breeds; the last two columns are species and breed within it.

    As in the original one `.jpg` is a GIF, one a PNG, and two are damaged: bytes too many before
    the end, and bytes too few.
    """
    folder, breeds = root / "oxford-iiit-pet", card("pets").folders
    (folder / "annotations").mkdir(parents=True)
    for split, numbers in (("trainval", range(PETS)), ("test", range(PETS, PETS + 1))):
        lines = [
            f"{name}_{i + 1} {label + 1} {1 if name[0].isupper() else 2} {label % 25 + 1}"
            for label, name in enumerate(breeds)
            for i in numbers
        ]
        (folder / f"annotations/{split}.txt").write_text("\n".join(lines) + "\n")
        for label, name in enumerate(breeds):
            for i in numbers:
                write(folder / f"images/{name}_{i + 1}.jpg", label, i)
    write(folder / "images/Egyptian_Mau_1.jpg", breeds.index("Egyptian_Mau"), kind="gif")
    write(folder / "images/Abyssinian_1.jpg", 0, kind="png")
    whole = (folder / "images/beagle_1.jpg").read_bytes()
    (folder / "images/beagle_1.jpg").write_bytes(whole[:-2] + bytes(240) + whole[-2:])
    whole = (folder / "images/chihuahua_1.jpg").read_bytes()
    (folder / "images/chihuahua_1.jpg").write_bytes(whole[:-12] + whole[-2:])
    (folder / "images/Abyssinian_100.mat").touch()
    (folder / "annotations/._trainval.txt").write_bytes(b"\0\5\26\7macOS")
    return SplitCounts(train=PETS * len(breeds), test=len(breeds))


def real(root: Path) -> SplitCounts:
    """Write REAL, and the test set of CLIPART as the further one."""
    domain(root, "clipart", ("test",))
    return domain(root, "real", ("train", "test"))


def clipart(root: Path) -> SplitCounts:
    """Write CLIPART alone."""
    return domain(root, "clipart", ("train", "test"))


def domain(root: Path, name: str, splits: tuple[str, ...]) -> SplitCounts:
    classes, first = card("real").folders, 0
    for split in splits:
        lines = []
        for label, folder in enumerate(classes):
            for i in range(first, first + DOMAIN[split]):
                path = f"{name}/{folder}/{name}_{label + 1:03d}_{i + 1:06d}.jpg"
                write(root / path, label, i)
                lines.append(f"{path} {label}")
        (root / f"{name}_{split}.txt").write_text("\n".join(lines) + "\n")
        first += DOMAIN[split]
    return SplitCounts(**{split: DOMAIN[split] * len(classes) for split in DOMAIN})


def cassava(root: Path) -> SplitCounts:
    """Write the table in the order of file names, which is not that of labels."""
    rows = []
    for label, images in enumerate(CASSAVA):
        for i in range(images):
            name = f"{(label * 7919 + i * 104729) % 1_000_003}.jpg"
            write(root / "train_images" / name, label, i)
            rows.append(f"{name},{label}")
    (root / "train.csv").write_text("\n".join(["image_id,label", *sorted(rows)]) + "\n")
    (root / "label_num_to_disease_map.json").write_text('{"0": "Cassava Bacterial Blight (CBB)"}')
    tests = sum(images // 5 for images in CASSAVA)
    return SplitCounts(train=sum(CASSAVA) - tests, test=tests)
