"""Add up the costs of plans by stage, and the seconds of each element of their job arrays."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Arch, Pretrain, Trained, arch_name
from hpc_xfer.study.architecture_costs import tower_costs
from hpc_xfer.study.cost_estimate import CostKind, RunCosts, cost_kind
from hpc_xfer.study.costs.finetune_time import FinetuneTimes
from hpc_xfer.study.costs.host_pace import FINETUNE_START, PRETRAIN_START, start_of
from hpc_xfer.study.costs.pretrain_time import pretrain_seconds, waits_for_loading
from hpc_xfer.study.costs.ranges import NOTHING, Range
from hpc_xfer.study.costs.stages import ArrayCost, FinishedTimes, PretrainKind, Stage
from hpc_xfer.study.costs.training_speed import TrainingSpeed
from hpc_xfer.study.disk.cache_use import CacheUse
from hpc_xfer.study.disk.disk_use import finetune_disk, pretrain_disk, pretrain_files
from hpc_xfer.study.job_arrays import cut_into_arrays
from hpc_xfer.study.plan import Pack, Plan, parent_recipe
from hpc_xfer.system.terminal import counted


def pretrain_kind(recipe: Trained) -> PretrainKind:
    """The kind of a pre-training: runs of one kind see as many samples per second on a GPU."""
    return recipe.method, arch_name(recipe.arch), recipe.precision


@dataclass
class CostCounter:
    """Costs so far. `rests_on` says in words what they come from."""

    speed: TrainingSpeed
    finished: FinishedTimes
    stages: dict[tuple[str, ...], Stage] = field(default_factory=dict)
    arrays: list[ArrayCost] = field(default_factory=list)
    cache: CacheUse = field(default_factory=CacheUse)
    used: set[PretrainKind | CostKind] = field(default_factory=set)  # kinds of finished runs
    assumed_sets: dict[str, None] = field(default_factory=dict)
    assumed_archs: dict[str, None] = field(default_factory=dict)

    def add(self, number: int, plan: Plan, costs: RunCosts) -> None:
        """Add the runs of a plan.

        Args:
            number: of the plan; its arrays get it.
        """
        part = _PlanCosts(self, plan, FinetuneTimes(costs, self.speed, self._medians))
        for array in cut_into_arrays(plan):
            seconds = tuple(part.pack_seconds(pack) for pack in array.packs)
            self.arrays.append(ArrayCost(array, seconds, start_of(array.kind), number))
        part.add_trials()
        self.cache.add(plan, costs)
        names = (str(run.spec["dataset"]) for run in plan.of("finetune"))
        self.assumed_sets |= dict.fromkeys(costs.uncounted(names))

    @cached_property
    def _medians(self) -> dict[CostKind, float]:
        return {kind: median(seconds) for kind, seconds in self.finished.finetune.items()}

    def note_assumed(self, arch: Arch) -> None:
        """Note an architecture whose FLOPs are those of a tower of middle size."""
        if not tower_costs(arch).is_known:
            self.assumed_archs[arch_name(arch)] = None

    def stage(self, key: tuple[str, ...], kind: str) -> Stage:
        if key not in self.stages:
            self.stages[key] = Stage(" ".join(key), kind)
        return self.stages[key]

    def ordered(self) -> list[Stage]:
        """The stages: pre-trainings, then fine-tunings by mode and shots."""
        modes = list(dict.fromkeys(name[0] for name in self.stages))
        trials = {name: each for name, each in self.stages.items() if each.kind == "finetune"}
        by_shots = sorted(trials, key=lambda name: (modes.index(name[0]), _place_of(name[1])))
        others = [each for each in self.stages.values() if each.kind != "finetune"]
        return [*others, *(trials[name] for name in by_shots)]

    def rests_on(self) -> str:
        """Say in words what the numbers rest on."""
        told = [self.speed.rests_on]
        runs = Counter[str]()  # a kind of which no run is left to do tells nothing
        for kind, number in self.finished.pretrain.runs.items():
            runs["pre-training"] += number * (kind in self.used)
        for trial, seconds in self.finished.finetune.items():
            runs["fine-tuning"] += len(seconds) * (trial in self.used)
        told += [counted(n, f"finished {what}") for what, n in runs.items() if n]
        if self.assumed_sets:
            told.append(f"the size of {', '.join(self.assumed_sets)} is assumed")
        if self.assumed_archs:
            told.append(f"the FLOPs of {', '.join(self.assumed_archs)} are assumed, as no file of "
                        "open_clip tells them; the first finished runs do")  # fmt: skip
        return "; ".join(told)


@dataclass
class _Trial:
    """Fine-tunings of one recipe from encoders of one architecture: they cost the same."""

    stage: Stage
    own: Range  # seconds of each
    shared: Range  # seconds that its pack needs once
    measured: bool
    recipe: Finetune
    parent: Pretrain  # kept with the recipe, so that none after them has the same id
    count: int = 0


@dataclass
class _PlanCosts:
    """Adds the packs of one plan to a counter."""

    counter: CostCounter
    plan: Plan
    times: FinetuneTimes
    _trials: dict[tuple[int, str | int], "_Trial"] = field(default_factory=dict)

    def pack_seconds(self, pack: Pack) -> Range:
        """Seconds of an element after its start, which are also added to the stages of its runs."""
        if pack.kind == "pretrain":
            return self._pretraining(pack)
        return self._finetunings(pack)

    def _pretraining(self, pack: Pack) -> Range:
        (run,) = pack.runs
        recipe = run.recipe
        assert not isinstance(recipe, Finetune)
        stage = self.counter.stage(tuple(_words(recipe)), "pretrain")
        seconds = NOTHING
        if isinstance(recipe, Trained):
            seconds = self._training(recipe, stage)
        stage.runs += 1
        stage.gpus = max(stage.gpus, pack.gpus)  # two grids may give a size different GPUs
        stage.gpu_hours += (seconds + PRETRAIN_START).scaled(pack.gpus / 3600)
        stage.files += pretrain_files(recipe)
        self.counter.note_assumed(recipe.arch)
        disk = pretrain_disk(recipe)
        if disk is None:
            stage.disk_is_known = False
            return seconds
        stage.disk += disk.final
        stage.checkpoints = max(stage.checkpoints, disk.while_running)
        return seconds

    def _training(self, recipe: Trained, stage: Stage) -> Range:
        resources, speed = self.plan.resources.pretrain, self.counter.speed
        loaders = self.times.costs.pretrain_loaders(resources)
        kind = pretrain_kind(recipe)
        measured = self.counter.finished.pretrain.rates.get(kind)
        recomputes = resources.activation_checkpointing
        if measured is not None:
            stage.measured += 1
            self.counter.used.add(kind)
        elif self.times.costs.speed.has_gpu:
            stage.waits |= waits_for_loading(recipe, speed, loaders, recomputes)
        return pretrain_seconds(recipe, resources.gpus, speed, loaders, recomputes, measured)

    def _finetunings(self, pack: Pack) -> Range:
        """Seconds of a pack. Runs at once on a GPU overlap at best, and take turns at worst."""
        parent = parent_recipe(pack.runs[0])
        low = high = 0.0
        largest: _Trial | None = None
        for run in pack.runs:
            assert isinstance(run.recipe, Finetune)
            trial = self._trial(run.recipe, parent)
            trial.count += 1
            low, high = low + trial.own.low, high + trial.own.high
            if largest is None or trial.shared.high > largest.shared.high:
                largest = trial
        assert largest is not None
        largest.stage.gpu_hours += (largest.shared + FINETUNE_START).scaled(1 / 3600)
        return Range(low, high) + largest.shared

    def _trial(self, recipe: Finetune, parent: Pretrain) -> "_Trial":
        key = (id(recipe), parent.arch if isinstance(parent.arch, str) else id(parent.arch))
        found = self._trials.get(key)
        if found is None:
            factor = Range(1 / self.plan.resources.finetune.per_gpu, 1.0)
            own = self.times.own(recipe, parent).times(factor)
            shared = self.times.shared(recipe, parent)
            kind = cost_kind(recipe, parent)
            measured = kind in self.times.measured
            self.counter.used |= {kind} if measured else set()
            found = _Trial(self._stage_of(recipe), own, shared, measured, recipe, parent)
            self._trials[key] = found
        return found

    def add_trials(self) -> None:
        """Add the fine-tunings that were counted to their stages."""
        for trial in self._trials.values():
            stage, count = trial.stage, trial.count
            resources = self.plan.resources.finetune
            is_long = trial.own.high > 60 * resources.checkpoint_minutes
            disk = finetune_disk(trial.recipe, trial.parent, is_long)
            stage.checkpoints = max(stage.checkpoints, resources.per_gpu * disk.while_running)
            stage.runs += count
            stage.measured += count * trial.measured
            stage.gpu_hours += trial.own.scaled(count / 3600)
            stage.disk += disk.final.scaled(count)
            stage.files += disk.files.scaled(count)

    def _stage_of(self, recipe: Finetune) -> Stage:
        shots = "full data" if recipe.shots == "full" else f"{recipe.shots} shots"
        shots = {"1 shots": "1 shot", "0 shots": "no shots"}.get(shots, shots)
        return self.counter.stage((recipe.mode, shots), "finetune")


def _place_of(shots: str) -> float:
    """The place of `no shots`, `20 shots`, `full data` among the shots of a mode."""
    number, words = shots.split()[0], {"no": 0.0, "full": math.inf}
    return words[number] if number in words else float(number)


def _words(recipe: Pretrain) -> Iterator[str]:
    """Name the stage of a pre-training: `clip RN50 laion 2.7M x16`."""
    yield recipe.method
    yield arch_name(recipe.arch)
    if isinstance(recipe, Trained):
        yield recipe.source_name
        yield _short(recipe.samples)
        if recipe.samples_seen % recipe.samples == 0:
            yield f"x{recipe.samples_seen // recipe.samples}"
        else:
            yield f"({_short(recipe.samples_seen)} seen)"


def _short(count: int) -> str:
    """Write a number of samples exactly: `2.7M`, `500k`, `1,024`."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit and count * 100 % unit == 0:
            return f"{count / unit:,g}{letter}"
    return f"{count:,}"
