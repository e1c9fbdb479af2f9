"""Small studies with made-up results, written through the real store."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hpc_xfer.config import shard_index
from hpc_xfer.config.finetune_recipes import KNN, AdamWFinetune, Finetune, LinearProbe
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run, make_plan
from hpc_xfer.study.study_file import Study, load_study
from hpc_xfer.system import atomic_files

GRID = """
name: tiny
question: Does pre-training help?
pretrain:
  - {method: clip, arch: RN50, source: sans, samples: [8000, 16000], epochs: 1, batch: 100}
  - {method: scratch, arch: RN50}
finetune:
  datasets: [digits, mnist]
  shots: [1, full]
  draws: 3
  mode: [ft]
  tune: {lr: [1e-4, 1e-3]}
"""
# A pre-training, one data set, one draw, three learning rates.
ONE_CELL = """
name: one
pretrain: [{method: clip, arch: RN50, source: sans, samples: 8000, epochs: 1, batch: 100}]
finetune: {datasets: [digits], shots: [1], draws: 1, tune: {lr: [1e-4, 1e-3, 1e-2]}}
"""

Metrics = dict[str, Any]


def make(folder: Path, grid: str = GRID) -> tuple[Study, Plan, Store]:
    """The study of a grid text and an empty store beside it."""
    path = folder / "grid.yaml"
    path.write_text(grid)
    loaded = load_study(path)
    return loaded, make_plan(loaded), Store(folder / "store")


def record(store: Store, run: Run, **metrics: Any) -> None:
    """Write a whole record; what is not said is made up from the id, the same every time.

    A probe gets a path: `val_top1=[...]` and the like then have a number per value.
    """
    base = _trial(run) if isinstance(run.recipe, Finetune) else _pretraining()
    path = _path(run.recipe, base, metrics) if isinstance(run.recipe, LinearProbe | KNN) else None
    content = {
        "schema": 1,
        "run": run.id,
        "kind": run.kind,
        "parents": [parent.id for parent in run.parents],
        "recipe": run.spec,
        "metrics": base | metrics,
        **({} if path is None else {"path": path}),
        "timing": {"seconds": 1.9},
        "provenance": {
            "commit": "3f2c9aa", "dirty": False, "host": "node1", "gpu": "A100", "restarts": 0,
            "packages": {"torch": "2.9.1"},
        },
    }  # fmt: skip
    atomic_files.write_json(store.run(run.id).record, content)


def record_all(store: Store, runs: Iterable[Run]) -> None:
    for run in runs:
        record(store, run)


def failure(store: Store, run: Run, message: str = "the loss is NaN\nat step 3") -> None:
    atomic_files.write_json(
        store.run(run.id).error,
        {"schema": 1, "run": run.id, "class": "nan", "message": message, "traceback": "",
         "attempt": 1},
    )  # fmt: skip


def trials(plan: Plan, keep: Callable[[Finetune], bool] = lambda recipe: True) -> list[Run]:
    return [r for r in plan.of("finetune") if isinstance(r.recipe, Finetune) and keep(r.recipe)]


def source(folder: Path, fields: str = "cls png txt", samples: int = 1000) -> Path:
    """One shard of zeros with an index that says what is in it."""
    folder.mkdir(parents=True)
    size = max(10240, 1024 * samples)
    with open(folder / "0.tar", "wb") as file:
        file.truncate(size)  # takes no room
    entry = ShardEntry("0.tar", samples, size, "0" * 64)
    classes = ("a", "b") if "cls" in fields else None
    shard_index.write(ShardIndex(folder, (entry,), tuple(fields.split()), classes))
    return folder


def image_folder(folder: Path, **images: int) -> Path:
    """Empty files in class folders; each class has one test image."""
    for name, number in images.items():
        for split, n in (("train", number), ("test", 1)):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                (folder / split / name / f"{i}.png").touch()
    return folder


def _pretraining() -> Metrics:
    return {
        "samples_seen": 8000, "final_loss": 2.5, "samples_per_second": 812.5, "skipped_samples": 0,
        "steps": 80,
    }  # fmt: skip


def _path(recipe: LinearProbe | KNN, base: Metrics, said: Metrics) -> Metrics:
    """Best in the middle of the path; the scalars that a path replaces are taken out of `base`."""
    values = list(recipe.path_values)
    names = ("val_top1", "test_top1", "test_top5", "test_per_class")
    middle = (len(values) - 1) / 2
    drop = [0.002 * abs(i - middle) for i in range(len(values))]
    path: Metrics = {"key": recipe.path_key, "values": values, "converged": [True] * len(values)}
    for name in names:
        top = base.pop(name)
        path[name] = [top - lower for lower in drop]
    path["val_nll"] = [1.0 + lower for lower in drop]
    path.update({name: said.pop(name) for name in [*path] if name in said})
    return path


def _trial(run: Run) -> Metrics:
    """Accuracy that grows with shots and pre-training size, with the luck of the draw in it."""
    recipe = run.recipe
    assert isinstance(recipe, Finetune)
    draw = random.Random(f"{recipe.dataset} {recipe.shots} {recipe.draw}").gauss(0, 0.03)
    noise = random.Random(run.id).gauss(0, 0.01)
    shots = {0: 0.25, 1: 0.3, 5: 0.55, 10: 0.62, 20: 0.7, "full": 0.85}[recipe.shots]
    columns = run.parents[0].columns
    size = recipe.snapshot or columns.get("samples", 0)
    help_ = 0.0 if not size else 0.05 * (size / 8000) ** 0.25 * (1 if shots < 0.8 else 0.3)
    help_ += {"simclr": 0.03, "supervised": 0.06}.get(columns["method"], 0.0)
    lr = 0.0
    if isinstance(recipe, AdamWFinetune):
        lr = {1e-3: 0.0, 3e-4: -0.02}.get(recipe.lr, -0.05)
    top1 = min(0.99, max(0.02, shots + draw + noise + help_ + lr))
    return {
        "val_top1": top1 - 0.01, "test_top1": top1, "test_top5": min(1.0, top1 + 0.2),
        "test_per_class": top1 - 0.005, "n_test": 899, "n_val": 180, "train_images": 10,
        "train_loss": 0.3, "steps": 60,
    }  # fmt: skip
