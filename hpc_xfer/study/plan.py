"""The plan: the runs of a study as a DAG. A pure function of its arguments: no disk, no clock.

plan = make_plan(study, costs)
plan.waves[0]     # packs of pre-trainings
plan.waves[-1]    # packs of fine-tunings, each with one parent

Pre-trainings that start from others (`init`) have waves of their own between the two.
"""

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from hpc_xfer.config.finetune_recipes import Finetune, ZeroShot
from hpc_xfer.config.protocols import Choose
from hpc_xfer.config.recipe_specs import (
    dump_finetune,
    dump_pretrain,
    nulls_left_out,
    read_finetune,
    read_pretrain,
)
from hpc_xfer.config.recipes import Pretrain, Trained, arch_name, encoder_points
from hpc_xfer.config.resources import Resources
from hpc_xfer.config.training_data.data_names import data_names
from hpc_xfer.study.cost_estimate import RunCosts
from hpc_xfer.study.grid_blocks.start_text import start_text
from hpc_xfer.study.study_facts import StudyFacts
from hpc_xfer.study.study_file import Study
from hpc_xfer.system.limits import cycle_collector

RunKind = Literal["pretrain", "finetune"]
NONE = "none"  # a setting that is None, in tables and labels
_PACKS_PER_WORKER = 4  # on one machine: the last ones end at about the same time
_DEFAULT_MINUTES = 20.0  # of a fine-tuning, without an estimate
_DEFAULT_PRETRAIN_MINUTES = 60.0
_LEAST_MINUTES = 1.0  # of an estimated pack
_CHEAPEST_FIRST = ("zeroshot", "knn", "lp")  # then what trains the encoder


@dataclass(frozen=True)
class Run:
    """A recipe and its parents; the id is a hash of both."""

    kind: RunKind
    recipe: Pretrain | Finetune
    parents: tuple["Run", ...] = ()

    @cached_property
    def id(self) -> str:
        """12 hex digits of sha256. Defaults are hashed too: a new default changes new runs only."""
        parents = ",".join(f'"{run.id}"' for run in self.parents)
        text = f'{{"kind":"{self.kind}","parents":[{parents}],"recipe":{self._dumped.text}}}'
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def spec(self) -> dict[str, Any]:
        """The recipe as it is hashed, see recipe_specs.py. Runs share it."""
        return self._dumped.spec

    @cached_property
    def _dumped(self) -> "_Dumped":
        if isinstance(self.recipe, Finetune):
            return _dumped_trial(self.recipe)
        return _Dumped(dump_pretrain(self.recipe))

    @property
    def columns(self) -> dict[str, Any]:
        """The recipe as table columns; the parent's settings that clash get the prefix `pretrain_`.

        A fine-tuning from a snapshot has the `samples_seen` of the snapshot.
        """
        if isinstance(self.recipe, Finetune):
            return self.parents[0]._pretrain_columns | self._dumped.columns
        return dict(self._pretrain_columns)

    @cached_property
    def _pretrain_columns(self) -> dict[str, Any]:
        assert not isinstance(self.recipe, Finetune)
        spec = dict(self.spec) | {"arch": arch_name(self.recipe.arch)} | data_names(self.recipe)
        if self.parents:
            spec["init"] = self.parents[0].start_text
        return {
            key if key in _PLAIN else f"pretrain_{key}": _cell(value) for key, value in spec.items()
        }

    @cached_property
    def start_text(self) -> str:
        """Say in tables of a pre-training that starts from this one what it starts from."""
        assert not isinstance(self.recipe, Finetune)
        return start_text(self.recipe, self.parents[0].start_text if self.parents else "")

    @cached_property
    def generation(self) -> int:
        """The number of runs in a row that come before it."""
        return 1 + max(parent.generation for parent in self.parents) if self.parents else 0


@dataclass(frozen=True)
class _Dumped:
    """A recipe as it is hashed; the fine-tunings of all parents share one per trial."""

    spec: dict[str, Any]
    nulls: tuple[str, ...] = ()  # settings that are None by choice and not in `spec`

    @cached_property
    def text(self) -> str:
        return json.dumps(self.spec, sort_keys=True, separators=(",", ":"))

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The table columns of a fine-tuning without those of its parent."""
        own = {key: _cell(value) for key, value in self.spec.items()}
        own |= dict.fromkeys(self.nulls, NONE)
        if "snapshot" in own:
            own["samples_seen"] = own["snapshot"]
        return own


@functools.cache
def _dumped_trial(recipe: Finetune) -> _Dumped:
    spec = dump_finetune(recipe)
    return _Dumped(spec, nulls_left_out(recipe, spec))


_PLAIN = ("method", "arch", "source", "samples", "samples_seen", "weights")


def _cell(value: Any) -> Any:
    if value is None:
        return NONE
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


@dataclass(frozen=True)
class Pack:
    """Runs that an array element executes in turn: same encoder and data set, cheap ones first."""

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
    costs: RunCosts | None = None  # of fine-tunings, where the grid gives no minutes
    facts: StudyFacts = field(
        default_factory=StudyFacts
    )  # of the encoders, for tables; they decide no run

    @cached_property
    def by_id(self) -> dict[str, Run]:
        return {run.id: run for run in self.runs}

    def without(self, done: Iterable[str]) -> "Plan":
        """Return the plan without the runs that are done."""
        drop = set(done)
        kept = tuple(run for run in self.runs if run.id not in drop)
        return replace(self, runs=kept)

    def with_costs(self, costs: RunCosts | None) -> "Plan":
        """Return the same runs, cut into packs by these costs."""
        return replace(self, costs=costs)

    def cut_for(self, workers: int) -> "Plan":
        """Return the same runs in packs small enough to keep so many workers busy to the end."""
        minutes = sum(pack.minutes for pack in self._finetune_packs())
        target = minutes / (_PACKS_PER_WORKER * workers)
        tune = self.resources.finetune
        if not 0 < target < tune.target_minutes:
            return self
        tune = tune.model_copy(update={"target_minutes": target})
        return replace(self, resources=self.resources.model_copy(update={"finetune": tune}))

    def of(self, kind: RunKind) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.kind == kind)

    @cached_property
    def waves(self) -> tuple[tuple[Pack, ...], ...]:
        """Packs in waves: a pack depends on runs of earlier waves only."""
        generations: dict[int, list[Pack]] = {}
        for pack in self._pretrain_packs():
            generations.setdefault(pack.runs[0].generation, []).append(pack)
        pretrains = (tuple(generations[number]) for number in sorted(generations))
        return tuple(wave for wave in (*pretrains, tuple(self._finetune_packs())) if wave)

    def needs(self, run: Run) -> tuple[float, int]:
        """Return minutes (with a margin) and processes; an untrained encoder needs 1 and 1."""
        if isinstance(run.recipe, Finetune):
            return self._seconds(run, run.recipe) / 60, self.resources.finetune.gpus
        if not isinstance(run.recipe, Trained):
            return 1.0, 1
        return self._pretrain_minutes(run.recipe), self.resources.pretrain.gpus

    def _pretrain_minutes(self, recipe: Trained) -> float:
        """Minutes of a pre-training: as in the grid, else as estimated, else the default."""
        resources = self.resources.pretrain
        minutes = resources.minutes_of(recipe.samples)
        if minutes is None and self.costs is not None:
            minutes = self.costs.pretrain_minutes(recipe, resources)
        return _DEFAULT_PRETRAIN_MINUTES if minutes is None else minutes

    def _seconds(self, run: Run, recipe: Finetune) -> float:
        """Seconds of a fine-tuning: as in the grid, else as estimated, else the default."""
        minutes = self.resources.finetune.minutes_of(recipe.shots)
        if minutes is None and self.costs is not None:
            return self.costs.seconds(recipe, parent_recipe(run))
        return 60 * (_DEFAULT_MINUTES if minutes is None else minutes)

    def _shared_seconds(self, run: Run, recipe: Finetune) -> float:
        """Seconds that a pack with this run needs once; the minutes of a grid include them."""
        if self.costs is None or self.resources.finetune.minutes is not None:
            return 0.0
        return self.costs.shared_seconds(recipe, parent_recipe(run))

    def _pretrain_packs(self) -> Iterator[Pack]:
        """Yield a pack per run: a pre-training is long."""
        return (Pack((run,), *self.needs(run)) for run in self.of("pretrain"))

    def _finetune_packs(self) -> Iterator[Pack]:
        """Group by parent, snapshot and data set; cut to about `target_minutes` each."""
        groups: dict[tuple[str, int | None, str], list[Run]] = {}
        for run in self.of("finetune"):
            groups.setdefault(_pack_key(run), []).append(run)
        for group in groups.values():
            yield from self._cut(sorted(group, key=_rank))

    def _cut(self, runs: list[Run]) -> Iterator[Pack]:
        """Cut runs into packs of the target, or longer where most of it would be shared work."""
        target = 60 * self.resources.finetune.target_minutes + 1e-6
        part: list[Run] = []
        shared = own = 0.0
        for run in runs:
            assert isinstance(run.recipe, Finetune)
            once, seconds = self._shared_seconds(run, run.recipe), self._seconds(run, run.recipe)
            both = max(shared, once)
            if part and both + own + seconds > max(target, 2 * both):
                yield self._pack(part, shared + own)
                part, shared, own = [], 0.0, 0.0
            part.append(run)
            shared, own = max(shared, once), own + seconds
        yield self._pack(part, shared + own)

    def _pack(self, runs: list[Run], seconds: float) -> Pack:
        minutes = round(seconds / 60, 6)
        if self.costs is not None and self.resources.finetune.minutes is None:
            minutes = max(_LEAST_MINUTES, float(math.ceil(minutes)))
        return Pack(tuple(runs), minutes, self.resources.finetune.gpus)


def parent_recipe(run: Run) -> Pretrain:
    """The recipe of the pre-training that a fine-tuning starts from."""
    recipe = run.parents[0].recipe
    assert not isinstance(recipe, Finetune)
    return recipe


def _pack_key(run: Run) -> tuple[str, int | None, str]:
    recipe = run.recipe
    assert isinstance(recipe, Finetune)
    return run.parents[0].id, recipe.snapshot, recipe.dataset


def _rank(run: Run) -> int:
    """The place of a mode in a pack; runs of one mode stay in the order of the plan."""
    assert isinstance(run.recipe, Finetune)
    mode = run.recipe.mode
    return _CHEAPEST_FIRST.index(mode) if mode in _CHEAPEST_FIRST else len(_CHEAPEST_FIRST)


@cycle_collector.paused()
def make_plan(study: Study, costs: RunCosts | None = None) -> Plan:
    """List every pre-training, then every pre-training x trial, in the order of the grid file.

    Costs decide the packs of fine-tunings, never the runs.

    Each snapshot of a pre-training gets every trial, and so does its end. Zero-shot needs a text
    tower, so pre-trainings without one have no such run; plan_summary.py counts them.
    """
    parents = pretrain_runs(study)
    trials = _grouped(study.trials, study.trial_blocks)
    children = [
        Run("finetune", _from(point, trial), (parent,))
        for parent, recipe, block in zip(parents, study.pretrains, study.blocks, strict=True)
        for point in encoder_points(recipe)
        for trial, blocks in trials
        if (recipe.uses_text or not isinstance(trial, ZeroShot))
        and (blocks is None or block in blocks)
    ]
    return Plan(
        (*parents, *children), study.resources, study.tuned, study.choose, costs, facts=study.facts
    )


def pretrain_runs(study: Study) -> list[Run]:
    """List the pre-trainings of a study, as many as it has recipes and in their order."""
    runs: list[Run] = []
    for recipe, start in zip(study.pretrains, study.starts or itertools.repeat(None), strict=False):
        runs.append(Run("pretrain", recipe, () if start is None else (runs[start],)))
    return runs


def _from(snapshot: int | None, trial: Finetune) -> Finetune:
    return trial if snapshot is None else trial.model_copy(update={"snapshot": snapshot})


def _grouped(
    trials: tuple[Finetune, ...], blocks: tuple[frozenset[int] | None, ...]
) -> list[tuple[Finetune, frozenset[int] | None]]:
    """Sort trials of one data set and shot count together: the order of runs in tables."""
    first: dict[tuple[str, int | str], int] = {}
    for i, trial in enumerate(trials):
        first.setdefault((trial.dataset, trial.shots), i)
    pairs = zip(trials, blocks or itertools.repeat(None), strict=False)
    return sorted(pairs, key=lambda pair: first[(pair[0].dataset, pair[0].shots)])


def restore_run(kind: RunKind, spec: dict[str, Any], parents: tuple[Run, ...]) -> Run:
    """Make the run that a recipe.json describes.

    Raises:
        ValueError: the recipe is not one of this version.
    """
    model: type[Pretrain | Finetune]
    model, values = read_finetune(spec) if kind == "finetune" else read_pretrain(spec)
    return Run(kind, model.model_validate_json(json.dumps(values)), parents)
