"""Ours for `finetuning`: cells with their whole path, all metrics on validation and test images."""

import time
from typing import Any

import numpy as np
import torch

from benchmarks.finetuning.cells import CLASSES, Cells, Images
from benchmarks.harness import interleave
from hpc_xfer.compute.finetuning.probes.path_result import (
    FittedPath,
    Labeled,
    fit_logistic,
    fit_ridge,
    measure_path,
)
from hpc_xfer.config.finetune_recipes import LogisticProbe, RidgeProbe

PENALTIES = LogisticProbe(dataset="digits", shots=1, draw=0).path_values
_OF_RIDGE = RidgeProbe(dataset="digits", shots=1, draw=0).path_values


def probe(path: str, shots: int, draws: int, solver: str) -> dict[str, Any]:
    """CPU seconds; test accuracy of each value, mean over draws; that of the chosen value."""
    torch.set_num_threads(1)
    cells = Cells.read(path)
    values = PENALTIES if solver == "logistic" else _OF_RIDGE
    begun = time.process_time()
    results = []
    for draw in range(draws):
        train, val = map(_labeled, cells.cell(shots, draw))
        fitted: FittedPath = (
            fit_logistic(train, CLASSES, values)
            if solver == "logistic"
            else fit_ridge(train, CLASSES, values)
        )
        tests = {"test": _labeled(cells.test)}
        held = fitted.logits(val.features), val.labels
        results.append(measure_path(fitted, fitted, values, held, tests))
    seconds = time.process_time() - begun
    if not all(all(result.converged) for result in results):
        raise RuntimeError("a value did not converge")
    chosen = np.mean([result.scores["val_nll"] for result in results], axis=0).argmin()
    top1 = np.mean([result.scores["test_top1"] for result in results], axis=0)
    return {"seconds": seconds, "values": len(top1), "top1": top1.tolist(), "chosen": top1[chosen]}


def on_gpu(path: str, shots: int, draws: int) -> float | None:
    """Seconds of the paths of all draws on a GPU, one after another; None without one."""
    if not torch.cuda.is_available():
        return None
    cells = Cells.read(path)
    trains = [_labeled(cells.cell(shots, draw)[0]) for draw in range(draws)]
    there = [Labeled(train.features.cuda(), train.labels.cuda()) for train in trains]
    fit_logistic(there[0], CLASSES, [1.0])  # CUDA starts
    begun = time.perf_counter()
    for train in there:
        fit_logistic(train, CLASSES, PENALTIES)
    return time.perf_counter() - begun


def _labeled(images: Images) -> Labeled:
    return Labeled(torch.from_numpy(images[0]), torch.from_numpy(images[1]))


if __name__ == "__main__":
    interleave.serve({"probe": probe, "on_gpu": on_gpu})
