"""scikit-learn for `finetuning`: its LogisticRegression with warm starts along the same path."""

import time
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.finetuning.cells import Cells, Images
from benchmarks.harness import interleave


def probe(
    path: str, shots: int, draws: int, penalties: list[float], tolerance: float
) -> dict[str, Any]:
    """CPU seconds; test accuracy of each value, mean over draws."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    cells = Cells.read(path)
    begun = time.process_time()
    found = [
        _path(*cells.cell(shots, draw), cells.test, penalties, tolerance) for draw in range(draws)
    ]
    seconds = time.process_time() - begun
    return {"seconds": seconds, "top1": np.mean(found, axis=0).tolist()}


def _path(
    train: Images, val: Images, test: Images, penalties: list[float], tolerance: float
) -> list[float]:
    """Test accuracies; validation images are classified, too."""
    center = train[0].astype(np.float64).mean(axis=0)
    spread = np.sqrt(np.square(train[0] - center).sum(axis=1).mean())
    seen, held, unseen = ((images[0] - center) / spread for images in (train, val, test))
    model = LogisticRegression(warm_start=True, tol=tolerance, max_iter=100_000)
    top1 = []
    for l2 in penalties:
        model.C = 1 / (l2 * len(seen))
        model.fit(seen, train[1])
        model.score(held, val[1])
        top1.append(float(model.score(unseen, test[1])))
    return top1


if __name__ == "__main__":
    interleave.serve({"probe": probe})
