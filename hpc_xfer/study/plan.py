"""The plan: the runs of a study as a DAG. A pure function of the study: no disk, no clock.

plan = make_plan(study)
plan.waves[0]     # packs of pre-trainings
plan.waves[1]     # packs of fine-tunings, each with one parent
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from hpc_xfer.config.finetune_recipes import Finetune, ZeroShot
from hpc_xfer.config.finetune_specs import dump_finetune, read_finetune
from hpc_xfer.config.protocols import Choose
from hpc_xfer.config.recipes import METHODS, Pretrain, Trained, arch_name, dump, encoder_points
from hpc_xfer.config.resources import Resources
from hpc_xfer.study.study_file import Study

RunKind = Literal["pretrain", "finetune"]


@dataclass(frozen=True)
class Run:
    """A recipe and its parents; the id is a hash of both."""

    kind: RunKind
    recipe: Pretrain | Finetune
    parents: tuple["Run", ...] = ()

    @cached_property
    def id(self) -> str:
        """12 hex digits of sha256. Defaults are hashed too: a new default changes new runs only."""
        what = {"kind": self.kind, "parents": [run.id for run in self.parents], "recipe": self.spec}
        text = json.dumps(what, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The recipe as it is hashed: defaults filled in, None dropped."""
        recipe = self.recipe
        return dump_finetune(recipe) if isinstance(recipe, Finetune) else dump(recipe)

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The recipe as table columns; the parent's settings that clash get the prefix `pretrain_`.

        A fine-tuning from a snapshot has the `samples_seen` of the snapshot.
        """
        if isinstance(self.recipe, Finetune):
            own = {key: _cell(value) for key, value in self.spec.items()}
            if self.recipe.snapshot is not None:
                own["samples_seen"] = self.recipe.snapshot
            return {**self.parents[0].columns, **own}
        spec = dict(self.spec) | ({"arch": arch_name(self.recipe.arch)})
        return {
            key if key in _PLAIN else f"pretrain_{key}": _cell(value) for key, value in spec.items()
        }


_PLAIN = ("method", "arch", "source", "samples", "samples_seen", "weights")


def _cell(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


@dataclass(frozen=True)
class Pack:
    """Runs that an array element executes in turn: same encoder, data set and shots."""

    runs: tuple[Run, ...]
    minutes: float  # estimate for all runs
    gpus: int

    @cached_property
    def id(self) -> str:
        return hashlib.sha256(" ".join(run.id for run in self.runs).encode()).hexdigest()[:12]

    @property
    def kind(self) -> RunKind:
        return self.runs[0].kind

    @property
    def parents(self) -> tuple[Run, ...]:
        return self.runs[0].parents


@dataclass(frozen=True)
class Plan:
    """All runs, parents before children, and the resources that decide their packs."""

    runs: tuple[Run, ...]
    resources: Resources
    tuned: tuple[str, ...] = ()  # settings that validation chooses
    choose: Choose = "pooled"
    by_id: dict[str, Run] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {run.id: run for run in self.runs})

    def without(self, done: Iterable[str]) -> "Plan":
        """Return the plan without the runs that are done."""
        drop = set(done)
        kept = tuple(run for run in self.runs if run.id not in drop)
        return Plan(kept, self.resources, self.tuned, self.choose)

    def of(self, kind: RunKind) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.kind == kind)

    @cached_property
    def waves(self) -> tuple[tuple[Pack, ...], ...]:
        """Packs in waves: a pack depends on runs of earlier waves only."""
        waves = (tuple(self._pretrain_packs()), tuple(self._finetune_packs()))
        return tuple(wave for wave in waves if wave)

    def needs(self, run: Run) -> tuple[float, int]:
        """Return minutes (of the grid) and processes; an untrained encoder needs 1 and 1."""
        if isinstance(run.recipe, Finetune):
            tune = self.resources.finetune
            return tune.minutes_of(run.recipe.shots), tune.gpus
        if not isinstance(run.recipe, Trained):
            return 1.0, 1
        return self.resources.pretrain.minutes, self.resources.pretrain.gpus

    def _pretrain_packs(self) -> Iterator[Pack]:
        """Yield a pack per run: a pre-training is long."""
        return (Pack((run,), *self.needs(run)) for run in self.of("pretrain"))

    def _finetune_packs(self) -> Iterator[Pack]:
        """Group by parent, snapshot, data set and shots; cut to about `target_minutes` each."""
        resources = self.resources.finetune
        for (*_, shots), group in itertools.groupby(self.of("finetune"), key=_pack_key):
            runs = tuple(group)
            minutes = resources.minutes_of(shots)
            size = max(1, int(resources.target_minutes / minutes + 1e-9))
            for start in range(0, len(runs), size):
                part = runs[start : start + size]
                yield Pack(part, minutes * len(part), resources.gpus)


def _pack_key(run: Run) -> tuple[str, int | None, str, int | str]:
    recipe = run.recipe
    assert isinstance(recipe, Finetune)
    return run.parents[0].id, recipe.snapshot, recipe.dataset, recipe.shots


def make_plan(study: Study) -> Plan:
    """List every pre-training, then every pre-training x trial, in the order of the grid file.

    Each snapshot of a pre-training gets every trial, and so does its end. Zero-shot needs a text
    tower, so pre-trainings without one have no such run; plan_summary.py counts them.
    """
    parents = tuple(Run("pretrain", recipe) for recipe in study.pretrains)
    trials = _grouped(study.trials)
    children = tuple(
        Run("finetune", _from(point, trial), (parent,))
        for parent, recipe in zip(parents, study.pretrains, strict=True)
        for point in encoder_points(recipe)
        for trial in trials
        if recipe.uses_text or not isinstance(trial, ZeroShot)
    )
    return Plan(parents + children, study.resources, study.tuned, study.choose)


def _from(snapshot: int | None, trial: Finetune) -> Finetune:
    return trial if snapshot is None else trial.model_copy(update={"snapshot": snapshot})


def _grouped(trials: tuple[Finetune, ...]) -> list[Finetune]:
    """Sort trials of one data set and shot count together, so that they can share a pack."""
    first: dict[tuple[str, int | str], int] = {}
    for i, trial in enumerate(trials):
        first.setdefault((trial.dataset, trial.shots), i)
    return sorted(trials, key=lambda trial: first[(trial.dataset, trial.shots)])


def restore_run(kind: RunKind, spec: dict[str, Any], parents: tuple[Run, ...]) -> Run:
    """Make the run that a recipe.json describes.

    Raises:
        ValueError: the recipe is not one of this version.
    """
    model: type[Pretrain | Finetune]
    model, values = read_finetune(spec) if kind == "finetune" else (METHODS[spec["method"]], spec)
    return Run(kind, model.model_validate_json(json.dumps(values)), parents)
