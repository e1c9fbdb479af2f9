"""CIFAR-100 and ciFAIR-100: pickles of Python 2 with rows of 3,072 bytes, red first."""

import pickle
from pathlib import Path

from hpc_xfer.config.dataset_cards import SplitCounts, card
from hpc_xfer.dataset_tools.stand_ins.tiny_images import pixels

TRAIN, TEST = 3, 1  # images per class


def cifar100(root: Path) -> SplitCounts:
    """Write cifar-100-python/ and ciFAIR-100/, whose test pickle has no file names."""
    folder, classes = root / "cifar-100-python", card("cifar100").folders
    folder.mkdir(parents=True)
    write_pickle(folder / "train", rows(len(classes), TRAIN, 0))
    write_pickle(folder / "test", rows(len(classes), TEST, TRAIN))
    coarse = [f"coarse_{i}" for i in range(20)]
    write_pickle(folder / "meta", {"fine_label_names": list(classes), "coarse_label_names": coarse})
    (folder / "file.txt~").touch()
    cleaned = rows(len(classes), TEST, TRAIN + TEST)
    del cleaned["filenames"]
    (root / "ciFAIR-100").mkdir()
    write_pickle(root / "ciFAIR-100/test", cleaned)
    return SplitCounts(train=TRAIN * len(classes), test=TEST * len(classes))


def rows(classes: int, per_class: int, first: int) -> dict[str, object]:
    """One pickle's content; images are not sorted by class."""
    import numpy as np  # a login node that makes no stand-ins does not need it

    images = [(label, first + i) for i in range(per_class) for label in range(classes)]
    data = np.stack([pixels(*each, 32, 32).transpose(2, 0, 1).reshape(-1) for each in images])
    return {
        "filenames": [f"{label}_s_{i:06d}.png" for label, i in images],
        "batch_label": "training batch 1 of 1",
        "fine_labels": [label for label, _ in images],
        "coarse_labels": [label % 20 for label, _ in images],
        "data": data,
    }


def write_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))
