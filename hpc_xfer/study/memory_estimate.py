"""Estimate the memory of runs, and warn of those that exceed what a process gets.

for line in memory_warnings(plan, site.slurm):
    print(line)
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune, FullFinetune
from hpc_xfer.config.recipes import Arch, ImageText, Trained, arch_name
from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.architecture_costs import tower_costs
from hpc_xfer.study.cost_estimate import ASSUMED, ImageCounts, computes_on_gpus
from hpc_xfer.study.plan import Plan, parent_recipe
from hpc_xfer.system.limits.process_share import kept_bytes

_BYTES = 4  # of a number in fp32
_HALF = 2  # of an activation in bf16 or fp16
_STATES = 4  # a weight, its gradient, both moments of AdamW
_EVALUATION_BATCH = 256
_EVALUATED_AT_ONCE = 0.15  # of an image's activations: without gradients few layers are kept
_RECOMPUTED = 0.25  # of activations, kept where those of residual blocks are recomputed
_LIBRARIES = 2.5e9  # of a process: torch, CUDA's context, workspaces
_LIBRARIES_ON_GPU = 1.0e9
_LIBRARIES_ON_CPU = 1.0e9  # of a process without a GPU: 0.9 GB were measured
# Decoded images of two data sets, for training and test; where there is memory, more are kept.
_KEPT_IMAGES = 4 * kept_bytes(None)


@dataclass(frozen=True)
class MemoryNeed:
    """GB that a run needs, about."""

    device: float  # of the GPU, or of the process on a CPU
    host: float  # without `device`

    @property
    def on_cpu(self) -> float:
        """All that a process without a GPU needs; no library of the GPU is loaded."""
        libraries = _LIBRARIES + _LIBRARIES_ON_GPU - _LIBRARIES_ON_CPU
        return self.host + self.device - libraries / 1e9


def memory_need(recipe: Finetune, arch: Arch, counts: ImageCounts) -> MemoryNeed:
    """Estimate the memory of a fine-tuning.

    Args:
        arch: of the parent.
        counts: of the data set.
    """
    tower = tower_costs(arch)
    weights = tower.weights * _BYTES
    size = _HALF if recipe.precision in ("bf16", "fp16") else _BYTES
    device = weights + _EVALUATION_BATCH * tower.activations * size * _EVALUATED_AT_ONCE
    if isinstance(recipe, FullFinetune):
        device = max(device, _STATES * weights + recipe.batch * tower.activations * size)
    features = float((counts.train + counts.test) * tower.features * _BYTES)
    if not isinstance(recipe, AdamWFinetune):
        device += features  # a probe has them all on the device, and a copy of the training part
        device += counts.train * tower.features * _BYTES
    host = _LIBRARIES + 2 * weights + features + _KEPT_IMAGES
    return MemoryNeed((device + _LIBRARIES_ON_GPU) / 1e9, host / 1e9)


def pretrain_memory(recipe: Trained, resources: PretrainResources) -> MemoryNeed:
    """Estimate the memory of a process of a pre-training.

    A locked tower has neither gradients nor moments, and keeps no activations.
    """
    tower = tower_costs(recipe.arch, recipe.patch_dropout)
    towers = {"image": (tower.weights, recipe.views * tower.activations)}
    if recipe.uses_text:
        towers["text"] = (tower.text_weights, tower.text_activations)
    locked = recipe.lock if isinstance(recipe, ImageText) else None
    kept_of_trained = _RECOMPUTED if resources.activation_checkpointing else 1.0
    samples = recipe.batch / (resources.gpus * (recipe.accumulate or 1))
    size = _HALF if recipe.precision in ("bf16", "fp16") else _BYTES
    device = 0.0
    for name, (weights, activations) in towers.items():
        states, kept = (1, _EVALUATED_AT_ONCE) if name == locked else (_STATES, kept_of_trained)
        device += states * weights * _BYTES + samples * activations * kept * size
    host = _LIBRARIES + 2 * _BYTES * sum(weights for weights, _ in towers.values())
    return MemoryNeed((device + _LIBRARIES_ON_GPU) / 1e9, host / 1e9)


def memory_warnings(plan: Plan, slurm: Slurm) -> Iterator[str]:
    """Name the largest run of each kind that exceeds the memory of a GPU or of a process.

    Nothing is said where the site file gives no limit.
    """
    gpus = plan.resources.pretrain.gpus
    way = "raise `accumulate`" if gpus == 1 else "raise `accumulate` or resources.pretrain.gpus"
    yield from _exceeding(_pretrain_needs(plan), slurm, way)
    yield from _exceeding(_needs(plan), slurm, "lower `batch`")


def _exceeding(needs: Iterable[tuple[MemoryNeed, str]], slurm: Slurm, way: str) -> Iterator[str]:
    """Compare the largest need with the limits of the site.

    Args:
        way: out, where a GPU has too little.
    """
    has_gpu = computes_on_gpus(slurm)
    largest: dict[str, tuple[float, str]] = {}
    for need, run in needs:
        host = need.host if has_gpu else need.on_cpu
        for what, size in (("gpu", need.device), ("host", host)):
            largest[what] = max(largest.get(what, (0.0, "")), (size, run))
    limits = {"gpu": slurm.gpu_memory if has_gpu else None, "host": slurm.memory_per_gpu}
    for what, (size, run) in largest.items():
        limit = limits[what]
        if limit is None or size <= limit:
            continue
        key = "gpu_memory" if what == "gpu" else "memory_per_gpu"
        out = way if what == "gpu" else "raise it in the site file"
        yield f"{run} needs about {size:.0f} GB, but {key} is {limit:g}; {out}"


def _pretrain_needs(plan: Plan) -> Iterator[tuple[MemoryNeed, str]]:
    """The need of every pre-training that trains, and what it is."""
    resources = plan.resources.pretrain
    for run in plan.of("pretrain"):
        recipe = run.recipe
        if isinstance(recipe, Trained):
            what = f"{recipe.method} of {arch_name(recipe.arch)} with batch {recipe.batch}"
            gpus = f" on {resources.gpus} GPUs" if resources.gpus > 1 else ""
            yield pretrain_memory(recipe, resources), f"{what}{gpus}"


def _needs(plan: Plan) -> Iterator[tuple[MemoryNeed, str]]:
    """The need of every kind of fine-tuning, and what it is."""
    images = {} if plan.costs is None else plan.costs.images
    seen = set()
    for run in plan.of("finetune"):
        recipe, arch = run.recipe, parent_recipe(run).arch
        assert isinstance(recipe, Finetune)
        batch = recipe.batch if isinstance(recipe, AdamWFinetune) else 0
        key = (run.columns["arch"], recipe.dataset, recipe.mode, recipe.precision, batch)
        if key in seen:
            continue
        seen.add(key)
        how = f"{recipe.mode} of {arch_name(arch)} on {recipe.dataset}"
        how += f" with batch {batch}" if batch else ""
        yield memory_need(recipe, arch, images.get(recipe.dataset, ASSUMED)), how
