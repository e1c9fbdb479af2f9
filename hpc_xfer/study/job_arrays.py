"""Job arrays: packs that are submitted together. A pure function of the plan.

    for batch in cut_into_arrays(plan):     # one per pre-training, or per parent and length
        store.write_manifest(study, batch, resources)    # batch.id / index names a pack in it

One `sbatch` submits one of them (an array, or one pre-training), and one file in the store holds it
with all recipes: 40,000 runs need about 150 files, not 80,000. In file names and options a job
array is called "batch" (so stores of earlier versions can be read); it is not a training batch.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.study.plan import Pack, Plan, Run, RunKind


@dataclass(frozen=True)
class JobArray:
    """Packs of one kind and, for fine-tunings, of one parent and about one length."""

    packs: tuple[Pack, ...]

    @cached_property
    def id(self) -> str:
        return hashlib.sha256(" ".join(pack.id for pack in self.packs).encode()).hexdigest()[:12]

    @property
    def kind(self) -> RunKind:
        return self.packs[0].kind

    @property
    def gpus(self) -> int:
        return self.packs[0].gpus

    @property
    def minutes(self) -> float:
        """Minutes of the longest pack."""
        return max(pack.minutes for pack in self.packs)

    @property
    def parents(self) -> tuple[Run, ...]:
        return self.packs[0].parents

    @property
    def shots(self) -> int | str | None:
        """The shots of all runs; None where they differ, and for pre-trainings."""
        found = {run.recipe.shots for run in self.runs if isinstance(run.recipe, Finetune)}
        return found.pop() if len(found) == 1 else None

    @property
    def runs(self) -> Iterator[Run]:
        for pack in self.packs:
            yield from pack.runs

    def parts(self, size: int) -> Iterator["JobArray"]:
        """Cut into arrays of at most `size` packs."""
        for start in range(0, len(self.packs), size):
            yield JobArray(self.packs[start : start + size])

    def manifest(self, resources: dict[str, Any]) -> dict[str, Any]:
        """Everything that a worker needs to execute one of the packs."""
        known = {run.id: run for run in (*_ancestors(self.parents), *self.runs)}
        return {
            "batch": self.id,
            "kind": self.kind,
            "gpus": self.gpus,
            "resources": resources,
            "runs": {
                run.id: {
                    "kind": run.kind,
                    "recipe": run.spec,
                    "parents": [parent.id for parent in run.parents],
                }
                for run in known.values()
            },
            "packs": [[run.id for run in pack.runs] for pack in self.packs],
        }


def _ancestors(parents: Iterable[Run]) -> Iterator[Run]:
    for parent in parents:
        yield from _ancestors(parent.parents)
        yield parent


def cut_into_arrays(plan: Plan) -> list[JobArray]:
    """Cut into pre-trainings, each alone, then fine-tunings by parent and length."""
    return [batch for wave in plan.waves for batch in _grouped(wave)]


def _grouped(packs: Iterable[Pack]) -> Iterator[JobArray]:
    groups: dict[tuple[str, ...], list[Pack]] = {}
    for pack in packs:
        groups.setdefault(_key(pack), []).append(pack)
    return (JobArray(tuple(group)) for group in groups.values())


def _key(pack: Pack) -> tuple[str, ...]:
    recipe = pack.runs[0].recipe
    if not isinstance(recipe, Finetune):
        return (pack.id,)
    return (pack.parents[0].id, str(_length_class(pack.minutes)))


def _length_class(minutes: float) -> int:
    """Round up to a power of two: an array has one time limit, at most twice what a pack needs."""
    return math.ceil(math.log2(max(1.0, minutes)) - 1e-9)


def arrays_of(plan: Plan, runs: Iterable[Run]) -> list[JobArray]:
    """Cut these runs into arrays."""
    wanted = {run.id for run in runs}
    return cut_into_arrays(plan.without(run.id for run in plan.runs if run.id not in wanted))
