"""Small runs on printed characters and digits, in this process or in one that may be killed.

They go through the worker's own `execute`, so what is tested is what a launcher starts.
"""

import json
import multiprocessing
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.run_pack import PackRunner
from hpc_xfer.compute.shard_tools import rendered_characters
from hpc_xfer.config.finetune_recipes import AdamWFinetune, finetune_class
from hpc_xfer.config.recipes import METHODS, Architecture
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.resources import FinetuneResources, PretrainResources
from hpc_xfer.config.schema import StrictModel
from hpc_xfer.config.site import Site
from hpc_xfer.store import pack_file
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system import machine
from hpc_xfer.system.job_environment import ProcessRank
from tests.compute.shard_tools.making import write_shards

ARCH = Architecture(
    name="tiny",
    embed_dim=16,
    vision_cfg={"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
    text_cfg={"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
)
CLASSES = 16
Resources = PretrainResources | FinetuneResources
PRETRAIN = PretrainResources(workers=0, log_steps=2)
FINETUNE = FinetuneResources(log_steps=2)


def source(folder: Path, samples: int = 256, per_shard: int = 100) -> Path:
    """Shards of unequal size: `samples` characters of 16 classes."""
    names = [
        rendered_characters.caption(c) for c in rendered_characters.characters("sans", CLASSES)
    ]
    drawn = rendered_characters.CharacterSamples("sans", CLASSES)
    write_shards(folder, map(drawn.sample, range(samples)), names, per_shard)
    return folder


def pretraining(method: str, **changes: Any) -> Run:
    """Eight steps of 32 characters, or the untrained encoder."""
    values: dict[str, Any] = {"method": method, "arch": ARCH}
    if method != "scratch":
        values |= {"source": "sans", "samples": 256, "samples_seen": 256, "batch": 32, "lr": 3e-3}
    if method == "simclr":
        values["projection"] = (32, 32, 16)
    return Run("pretrain", METHODS[method](**{**values, **changes}))


def finetuning(parent: Run, mode: str = "ft", **changes: Any) -> Run:
    """Six steps on five images of each digit."""
    values: dict[str, Any] = {"dataset": "digits", "shots": 5, "draw": 0, "mode": mode}
    kind = finetune_class(mode, changes.get("solver", "logistic"))
    if issubclass(kind, AdamWFinetune):
        values |= {"lr": 3e-3, "epochs": 3, "min_steps": None, "batch": 25, "randaugment": False}
    return Run("finetune", kind(**{**values, **changes}), (parent,))


def head(parent: Run, **changes: Any) -> Run:
    """Six steps of AdamW on the head alone."""
    return finetuning(parent, "lp", solver="adamw", **changes)


def execute(
    store: Store,
    run: Run,
    source: Path | None = None,
    stop: StopSignal | None = None,
    place: ProcessRank | None = None,
    released: Mapping[str, Path | ReleasedEntry] | None = None,
    datasets: Mapping[str, Path] | None = None,
    sources: Mapping[str, Path] | None = None,
    **resources: Any,
) -> list[dict[str, Any]]:
    """Execute one run and return the worker's events; its parents must be done already."""
    torch.set_num_threads(1)
    for each in (*run.parents, run):
        store.write_recipe(each)
    lines: list[str] = []
    base: Resources = PRETRAIN if run.kind == "pretrain" else FINETUNE
    pack = pack_file.LoadedPack("test", (run,), with_changes(base, resources))
    known = {**({} if source is None else {"sans": source}), **(sources or {})}
    site = Site(
        sources={name: str(folder) for name, folder in known.items()},
        released={
            name: file if isinstance(file, ReleasedEntry) else str(file)
            for name, file in (released or {}).items()
        },
        datasets={name: str(folder) for name, folder in (datasets or {}).items()},
    )
    process, stop = place or ProcessRank(), stop or StopSignal()
    runner = PackRunner(store, site, process, stop, lambda event: lines.append(event.to_json()))
    runner.execute(pack)
    return [json.loads(line) for line in lines]


def finished(store: Store, run: Run, source: Path | None = None, **resources: Any) -> RunDir:
    """Execute a run that must succeed."""
    events = execute(store, run, source, **resources)
    assert events[-1]["event"] == "done", events
    return store.run(run.id)


def with_changes(base: Resources, changes: dict[str, Any]) -> Resources:
    model: type[StrictModel] = type(base)
    changed = model(**{**base.model_dump(), **changes})
    assert isinstance(changed, PretrainResources | FinetuneResources)
    return changed


def record(run: RunDir) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.record.read_text())
    return content


def result(run: RunDir) -> dict[str, Any]:
    """Return the part of a record that must not depend on interruptions."""
    whole = record(run)
    metrics = {k: v for k, v in whole["metrics"].items() if k != "samples_per_second"}
    return {**whole, "metrics": metrics, "timing": None, "provenance": None}


def weights(run: RunDir) -> dict[str, Any]:
    """All tensors of a product, by tower and name."""
    state = torch.load(run.encoder, weights_only=True)
    towers = [tower for tower in ("visual", "text", "projection") if state[tower] is not None]
    return {f"{tower}.{k}": v for tower in towers for k, v in state[tower].items()}


def same_weights(a: RunDir, b: RunDir) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def losses(run: RunDir) -> list[tuple[int, float]]:
    """Step and loss of each row of metrics.jsonl."""
    rows = map(json.loads, run.metrics.read_text().splitlines())
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


class StopAfter(StopSignal):
    """Asked to stop in the n-th step of an attempt: each looks once, and the worker before."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.looks = steps

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@cache
def _children() -> Any:
    """Processes that begin with torch loaded, and can be killed without harm."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.tiny", "hpc_xfer.compute.pretraining.task"])
    return context


def child(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """`target(*arguments)` in a process of its own, with warnings as errors."""
    # The server of these processes keeps the variables that were set when it began.
    device = os.environ.get(machine.DEVICE)
    process: BaseProcess = _children().Process(target=_strictly, args=(device, target, *arguments))
    process.start()
    return process


def _strictly(device: str | None, target: Callable[..., None], *arguments: Any) -> None:
    os.environ.pop(machine.DEVICE, None)
    os.environ |= {machine.DEVICE: device} if device else {}
    warnings.simplefilter("error")
    # Python 3.12 and later say so of loader processes, which only decode.
    warnings.filterwarnings(
        "ignore", r".*use of fork\(\) may lead to deadlocks", DeprecationWarning
    )
    multiprocessing.set_start_method("fork", force=True)  # as in a worker that a launcher starts
    torch.set_num_threads(1)
    target(*arguments)


def join(processes: Sequence[BaseProcess], seconds: float = 600) -> list[int | None]:
    """Exit codes; what has not ended by then is killed."""
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def on(ranks: int, target: Callable[..., None], *arguments: Any, folder: Path) -> list[Any]:
    """What each rank saves."""
    folder.mkdir()
    processes = [child(target, *arguments, i, ranks, folder) for i in range(ranks)]
    assert join(processes) == [0] * ranks
    return [torch.load(folder / f"{i}.pt", weights_only=True) for i in range(ranks)]
