"""Fabricate a finished study of 40,000 runs: study_of_40000.yaml beside this file.

Records and hits have the form, the size and the number of metrics of real ones; only the numbers
are made up. Nothing is synced to disk.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from hpc_xfer.config.finetune_recipes import Finetune, LinearProbe
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run

_GRID = Path(__file__).parent / "study_of_40000.yaml"
_TEST_IMAGES = 400  # few: the share of their bits in the cost of `collect` is small
_SHOTS = {0: 0.3, 1: 0.35, 5: 0.5, 10: 0.6, 20: 0.65, "full": 0.8}
_MEASURED = ("nll", "ece", "macro_f1", "per_class", "top5")


def write_grid(path: Path) -> None:
    """Write the grid file of the study."""
    shutil.copyfile(_GRID, path)


def write_records(plan: Plan, store: Store) -> None:
    """Write what every run of the plan leaves when it is finished."""
    for number, run in enumerate(plan.runs):
        write_record(run, store, number)


def write_record(run: Run, store: Store, number: int) -> None:
    """Write record.json and hits.npy of a run; other numbers give other results."""
    random = np.random.default_rng(number)
    folder = store.run(run.id)
    folder.path.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "schema": 1, "run": run.id, "kind": run.kind, "recipe": run.spec,
        "parents": [parent.id for parent in run.parents],
        "timing": {"seconds": 60.25, "train_seconds": 50.125},
        "provenance": _provenance(run),
    }  # fmt: skip
    if isinstance(run.recipe, Finetune):
        measured, hits = _trial(run.recipe, random)
        content |= measured
        np.save(folder.hits, hits)
    else:
        folder.encoder.touch()
        content["metrics"] = _PRETRAINING
    folder.record.write_text(json.dumps(content, indent=2, sort_keys=True))


_PRETRAINING = {
    "broken": [], "broken_by_shard": {}, "dropped_per_epoch": 32, "final_loss": 4.818922519683838,
    "ranks": [{"from_step": 0, "ranks": 8}], "samples_per_second": 8126.5, "steps": 125_000,
    "samples_seen": 16_000_000, "skipped_samples": 0, "visual_parameters": 38_316_896,
}  # fmt: skip


def _trial(recipe: Finetune, random: np.random.Generator) -> tuple[dict[str, Any], Any]:
    """The metrics of a fine-tuning, and its packed bits: one row per value of a path."""
    places = np.arange(45) if isinstance(recipe, LinearProbe) else np.zeros(1)
    level = _SHOTS[recipe.shots] + 0.05 * random.standard_normal() - 1e-4 * (places - 25) ** 2
    hard = np.random.default_rng(sum(recipe.dataset.encode())).random(_TEST_IMAGES)
    noise = 0.2 * random.standard_normal((len(places), _TEST_IMAGES))
    bits = (hard + noise) < level[:, None]
    shares = {"test_top1": bits.mean(axis=1), "val_top1": level.clip(0, 1)}
    for split in ("test", "val"):
        for name in _MEASURED:
            shares[f"{split}_{name}"] = random.random(len(places))
    metrics: dict[str, Any] = {
        "classes": 100, "labels": 500, "n_test": _TEST_IMAGES, "n_val": 100, "train_images": 500,
    }  # fmt: skip
    lists = {name: [round(value, 7) for value in found.tolist()] for name, found in shares.items()}
    packed = np.packbits(bits, axis=-1)
    if not isinstance(recipe, LinearProbe):
        metrics |= {name: found[0] for name, found in lists.items()}
        return {"metrics": metrics | {"steps": 900, "train_loss": 1.3276400566101074}}, packed[0]
    path = {
        "key": recipe.path_key, "values": list(recipe.path_values), "converged": [True] * 45,
        "gradient_norm": (1e-7 * random.random(45)).tolist(), **lists,
    }  # fmt: skip
    return {"metrics": metrics, "path": path}, packed


def _provenance(run: Run) -> dict[str, Any]:
    dataset = run.recipe.dataset if isinstance(run.recipe, Finetune) else "source"
    return {
        "attempt": 1, "commit": "2b593553293b6fb9282623cf911e2fe59a1b15ad", "dirty": False,
        "data": {
            "dataset": hashlib.sha256(dataset.encode()).hexdigest(), "parent": "5f" * 32,
        },
        "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:00+00:00",
        "gpu": "NVIDIA A100-SXM4-40GB", "host": "node1", "ranks": 1, "restarts": 0,
        "packages": {
            "numpy": "2.4.6", "open_clip_torch": "3.3.0", "pillow": "12.0.0", "python": "3.11.2",
            "torch": "2.9.1", "torchvision": "0.24.1", "webdataset": "1.0.2",
        },
        "slurm_job": "1234567", "slurm_task": "12", "threads": 8, "version": "0.1.0",
    }  # fmt: skip
