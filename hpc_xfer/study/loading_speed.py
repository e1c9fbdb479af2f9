"""Find kinds of runs whose GPU waits for its loading processes, and those that compute in fp32.

for line in speed_notes(plan, site.slurm.teraflops):
    print(line)
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from hpc_xfer.config.finetune_recipes import Finetune, FullFinetune
from hpc_xfer.config.recipes import Trained, arch_name
from hpc_xfer.study.architecture_costs import tower_costs
from hpc_xfer.study.cost_estimate import ASSUMED, GPU_TERAFLOPS
from hpc_xfer.study.costs.host_pace import DECODE_SECONDS
from hpc_xfer.study.costs.pretrain_time import sample_flops
from hpc_xfer.study.plan import Plan, Run, RunKind, parent_recipe
from hpc_xfer.system.limits.process_share import loading_processes
from hpc_xfer.system.terminal import counted

_RANDAUGMENT_SECONDS = 1 / 180  # an image on one core, decoding included
_HALF_SPEEDUP = 4.0  # of bf16 and fp16 over fp32, on an A100
_SHORT = 0.8  # of what the GPU takes: an estimate is no better than that
_PASSES = 3  # forward, and a backward of two


@dataclass(frozen=True)
class Starving:
    """A kind of run whose loading processes deliver less than its GPU takes."""

    kind: str  # of run: pretrain, finetune
    what: str
    workers: int
    cores: int  # of the process
    beside: int  # processes that share the GPU
    delivered: float  # images per second for each GPU
    taken: float

    def __str__(self) -> str:
        return (
            f"{self.what}: about {self.delivered:,.0f} images/s come from "
            f"{counted(self.workers, 'loading process', 'es')}, and the GPU takes about "
            f"{self.taken:,.0f}, so it would wait "
            f"{100 * (1 - self.delivered / self.taken):.0f}% of the time; {self._way_out}"
        )

    @property
    def _way_out(self) -> str:
        needed = math.ceil(max(1, self.workers) * self.taken / self.delivered)
        key = f"resources.{self.kind}.workers"
        if self.workers < self.cores - 1:
            return f"set {key} to {min(needed, self.cores - 1)}"
        cores = self.beside * (needed + 1)
        where = "cpus_per_gpu in the site file"
        return f"give each GPU {cores} cores ({where}), and set {key} to {needed}"


def speed_notes(plan: Plan, teraflops: float | None) -> Iterator[str]:
    """Say in one sentence per kind of run what keeps its GPU from working; nothing without GPUs.

    Args:
        teraflops: effective, of a GPU of the site; None for an assumption.
    """
    if plan.costs is None or not plan.costs.speed.has_gpu:
        return
    yield from map(str, starving(plan, teraflops))
    yield from _in_fp32(plan)


def starving(plan: Plan, teraflops: float | None) -> list[Starving]:
    """List the kinds of runs whose GPU would wait, by an estimate."""
    found: dict[str, Starving] = {}
    for run in plan.runs:
        case = _case(run, plan, teraflops)
        if case is not None and case.delivered < _SHORT * case.taken:
            found.setdefault(case.what, case)
    return list(found.values())


def _case(run: Run, plan: Plan, teraflops: float | None) -> Starving | None:
    recipe, resources = run.recipe, plan.resources.of(run.kind)
    assert plan.costs is not None
    beside = plan.resources.finetune.per_gpu if run.kind == "finetune" else 1
    cores = max(1, plan.costs.speed.cores // beside)
    if isinstance(recipe, Trained):
        flops, seconds = sample_flops(recipe), DECODE_SECONDS
        what = f"{recipe.method} of {arch_name(recipe.arch)}"
    elif isinstance(recipe, FullFinetune):
        in_files = plan.costs.images.get(recipe.dataset, ASSUMED).in_files
        if not (in_files or recipe.randaugment):
            return None
        seconds = _RANDAUGMENT_SECONDS if recipe.randaugment else DECODE_SECONDS
        parent = parent_recipe(run)
        flops = _PASSES * tower_costs(parent.arch).flops
        what = f"{recipe.mode} of {arch_name(parent.arch)} on {recipe.dataset}"
    else:
        return None
    workers = resources.workers
    if workers is None:
        workers = loading_processes(cores, has_gpu=True)
    delivered = beside * max(1, workers) / seconds
    taken = _flops_per_second(recipe.precision, teraflops) / flops
    return Starving(run.kind, what, workers, cores, beside, delivered, taken)


def _flops_per_second(precision: str, teraflops: float | None) -> float:
    if teraflops is not None:
        return 1e12 * teraflops
    return 1e12 * GPU_TERAFLOPS * (_HALF_SPEEDUP if precision in ("bf16", "fp16") else 1.0)


def _in_fp32(plan: Plan) -> Iterator[str]:
    counts = Counter(
        run.kind
        for run in plan.runs
        if isinstance(run.recipe, Trained | Finetune) and run.recipe.precision == "fp32"
    )
    words: list[tuple[RunKind, str]] = [("pretrain", "pre-training"), ("finetune", "fine-tuning")]
    listed = [counted(counts[kind], word) for kind, word in words if counts[kind]]
    if listed:
        yield (
            f"{' and '.join(listed)} in fp32, at a quarter of bf16's speed on an A100; "
            "`precision: bf16` or tf32 in the grid is faster; such runs have ids of their own"
        )
