"""The commit before for `finetuning`: a linear probe was a training with AdamW, one per trial.

Its parts are called as its own task calls them, on the same features: classifier, training with its
sign of life and its metrics, accuracies. Reading and writing records is left out on both sides.
"""

import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.finetuning.cells import CLASSES, Cells, Images
from benchmarks.harness import before, interleave

_ROOT = Path(__file__).parent.parent.parent


def _of_before(name: str) -> Any:
    """A module as it was: without types, as they are not those of today."""
    return importlib.import_module(f"hpc_xfer.{name}")


def probe(path: str, shots: int, draws: int, lrs: list[float]) -> dict[str, float]:
    """CPU seconds of draws x learning rates."""
    torch.set_num_threads(1)
    cells, towers = Cells.read(path), _towers()
    begun = time.process_time()
    for draw in range(draws):
        for lr in lrs:
            _trial(towers, *cells.cell(shots, draw), cells.test, lr, draw)
    return {"seconds": time.process_time() - begun}


def _trial(towers: Any, train: Images, val: Images, test: Images, lr: float, draw: int) -> None:
    classifier, batches = (
        _of_before("compute.finetuning.classifier"),
        _of_before("compute.finetuning.batches"),
    )
    optimizer, loop = _of_before("compute.training.optimizer"), _of_before("compute.training.loop")
    recipe = _of_before("config.recipes").Finetune(
        dataset="digits", shots=1, draw=draw, mode="lp", lr=lr
    )
    features, labels = (torch.from_numpy(array) for array in train)
    model = classifier.Classifier(towers, CLASSES, recipe.label_smoothing)
    model.standardize(features)
    model.visual.requires_grad_(False)
    epochs = batches.EpochBatches(len(labels), recipe.batch, recipe.epochs, (recipe.seed, draw))
    with tempfile.TemporaryDirectory() as folder:
        run = _of_before("store.paths").RunDir(Path(folder))
        loop.train(
            model,
            optimizer.adamw(model, recipe.lr, recipe.weight_decay, (0.9, 0.999), 1e-8),
            batches.FeatureBatches(features, labels, epochs),
            _of_before("compute.training.step").Schedule(
                steps=epochs.steps,
                batch=min(recipe.batch, len(labels)),
                lr=recipe.lr,
                warmup_steps=optimizer.warmup(recipe.warmup_steps, epochs.steps),
                grad_clip=recipe.grad_clip,
                precision=recipe.precision,
                seed=recipe.seed,
            ),
            loop.LoopOptions(),
            run,
            _of_before("compute.training.checkpoint").Checkpoints(run, None),
            _of_before("compute.distributed.process_group").World(device=torch.device("cpu")),
            _of_before("compute.distributed.stop_signal").StopSignal(),
        )
    with torch.no_grad():
        for seen, truth in (val, test):
            logits = model.logits(torch.from_numpy(seen))
            classifier.accuracies(logits, torch.from_numpy(truth))


def _towers() -> Any:
    arch = json.loads((_ROOT / "grids/archs/glyph.json").read_text())
    architecture = _of_before("config.recipes").Architecture(name="glyph", **arch)
    return _of_before("compute.models.encoders").build(architecture, seed=0, with_text=False)


if __name__ == "__main__":
    sys.path.insert(0, str(before.tree()))
    interleave.serve({"probe": probe})
