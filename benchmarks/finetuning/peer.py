"""CLIP_benchmark for `finetuning`: its linear probe, with its search for a weight decay.

`evaluate` of its linear_probe.py extracts features, then calls what is called here, in this order:
a search on validation images from coarse to fine, a training, the test. Two things are put in
place here, and all else is theirs, with their defaults: without a GPU, which it asks for, `.cuda()`
does nothing; and its `accuracy` turns an array of one element into a number, which NumPy 2.4
refuses.
"""

import contextlib
import io
import time
from typing import Any

import numpy as np
import torch
from clip_benchmark.metrics import linear_probe
from torch.utils.data import DataLoader

from benchmarks.finetuning.cells import CLASSES, Cells, Images
from benchmarks.harness import interleave

_LR, _EPOCHS, _BATCH = 0.1, 10, 64
_DECAYS = np.logspace(-6, 2, num=97).tolist()


def probe(path: str, shots: int, draws: int) -> dict[str, Any]:
    """CPU seconds; test accuracy, mean over draws."""
    torch.set_num_threads(1)
    if not torch.cuda.is_available():
        # It moves all to a GPU; without one, they stay where they are.
        for kind in (torch.Tensor, torch.nn.Module):
            kind.cuda = lambda self, *rest, **more: self  # type: ignore[method-assign]
    linear_probe.accuracy = _accuracy
    cells = Cells.read(path)
    begun = time.process_time()
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        top1 = [_cell(*cells.cell(shots, d), cells.test, seed=d) for d in range(draws)]
    return {"seconds": time.process_time() - begun, "top1": float(np.mean(top1))}


def _cell(train: Images, val: Images, test: Images, seed: int) -> float:
    loaders = [_loader(images) for images in (train, val)]
    settings: dict[str, Any] = {"lr": _LR, "epochs": _EPOCHS, "amp": False, "seed": seed}
    settings |= {"device": "cuda" if torch.cuda.is_available() else "cpu"}
    shape = {"input_shape": train[0].shape[1], "output_shape": CLASSES}

    def peak(indices: list[int]) -> int:
        return int(
            linear_probe.find_peak(_DECAYS, indices, *loaders, **shape, **settings, verbose=False)
        )

    best, span = peak(list(range(0, 97, 16))), 8
    while span > 0:
        best = peak([max(best - span, 0), best, min(best + span, 96)])
        span //= 2
    model = linear_probe.train(loaders[0], weight_decay=_DECAYS[best], **shape, **settings)
    logits, labels = linear_probe.infer(model, _loader(test), False, settings["device"])
    return _accuracy(logits, labels, topk=(1,))[0]


def _accuracy(logits: torch.Tensor, labels: torch.Tensor, topk: tuple[int]) -> list[float]:
    return [float((logits.argmax(dim=1) == labels).double().mean())]


def _loader(images: Images) -> DataLoader:
    data = linear_probe.FeatureDataset(*map(torch.from_numpy, images))
    return DataLoader(data, batch_size=_BATCH, shuffle=True, num_workers=0)


if __name__ == "__main__":
    interleave.serve({"probe": probe})
