"""Features of the benchmark's linear probes: digits seen by an encoder that nobody trained.

    write(path)                         # once; every side reads the same file
    cell = Cells.read(path).cell(shots=5, draw=3)

Ten classes, 64 dimensions, unit length, as an encoder of the demo gives them. A cell is a draw:
its training images, four validation images per class, and all test images.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
_TEST = 797  # of 1,797 images
_VALIDATION = 4  # per class

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Images = tuple[Features, Labels]


@dataclass(frozen=True)
class Cells:
    train: Images
    test: Images

    @classmethod
    def read(cls, path: str) -> "Cells":
        with np.load(path) as stored:
            features, labels = stored["features"], stored["labels"]
        return cls((features[_TEST:], labels[_TEST:]), (features[:_TEST], labels[:_TEST]))

    def cell(self, shots: int, draw: int) -> tuple[Images, Images]:
        """Training and validation images of a draw."""
        rng = np.random.default_rng((shots, draw))
        features, labels = self.train
        orders = [rng.permutation(np.flatnonzero(labels == label)) for label in range(CLASSES)]
        chosen = np.concatenate([order[:shots] for order in orders])
        held = np.concatenate([order[shots : shots + _VALIDATION] for order in orders])
        return (features[chosen], labels[chosen]), (features[held], labels[held])


def write(path: Path, arch: Path) -> None:
    """Extract the features with the encoder that a JSON file describes, at random weights."""
    import json

    import torch
    from sklearn.datasets import load_digits
    from torch.nn import functional as F

    from hpc_xfer.compute.models import encoders
    from hpc_xfer.config.recipes import Architecture

    towers = encoders.build(
        Architecture(name=arch.stem, **json.loads(arch.read_text())), seed=0, with_text=False
    )
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    pixels = torch.from_numpy(digits.images[order] / 16).float()[:, None]
    pixels = F.interpolate(pixels, towers.image_size, mode="bilinear").expand(-1, 3, -1, -1)
    visual = towers.visual.train()  # statistics of the batch: those of no training are 0 and 1
    with torch.no_grad():
        features = F.normalize(visual(pixels), dim=-1).numpy()
    np.savez(path, features=features, labels=digits.target[order].astype(np.int64))
