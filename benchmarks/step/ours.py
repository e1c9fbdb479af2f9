"""Ours for `step`: one CLIP pre-training through the worker that launchers start."""

import json
import tempfile
from pathlib import Path

from benchmarks.harness import clock, interleave
from hpc_xfer import worker
from hpc_xfer.config.recipes import Arch, Architecture, Clip, Precision
from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run

_PRECISIONS: dict[str, Precision] = {
    "fp32": "fp32",
    "amp_bf16": "bf16",
}  # their names -> ours


def train(
    folder: str, model: str, batch: int, steps: int, precision: str, workers: int, threads: int
) -> dict[str, float]:
    resources = PretrainResources(workers=workers, threads=threads)
    with tempfile.TemporaryDirectory() as name:
        _, call = prepared(Path(name), folder, model, batch, steps, precision, resources)
        return clock.measured(lambda: worker.main(call), batch, steps)


def prepared(
    root: Path,
    folder: str,
    model: str,
    batch: int,
    steps: int,
    precision: str,
    resources: PretrainResources,
) -> tuple[RunDir, list[str]]:
    """A store with a run to do, and what a worker is called with to do it."""
    recipe = Clip(
        arch=_arch(model),
        source="photos",
        samples=ShardIndex.load(Path(folder)).samples,
        samples_seen=batch * steps,
        batch=batch,
        precision=_PRECISIONS[precision],
    )
    site = root / "site.yaml"
    site.write_text(f"sources: {{photos: {json.dumps(folder)}}}\n")
    run = Run("pretrain", recipe)
    store, packs = Store(root / "store"), JobArray((Pack((run,), 1, 1),))
    store.open()
    store.write_manifest("step", packs, resources.model_dump(mode="json"))
    call = ["--store", str(store.root), "--study", "step", "--site", str(site)]
    return store.run(run.id), [*call, "--pack", f"{packs.id}/0"]


def _arch(model: str) -> Arch:
    if not model.endswith(".json"):
        return model
    return Architecture(**json.loads(Path(model).read_text()))


if __name__ == "__main__":
    interleave.serve({"train": train})
