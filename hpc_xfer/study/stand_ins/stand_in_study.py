"""Shrink a rehearsal to what stand-ins allow: tiny encoders, few samples, few repetitions.

    study = with_stand_ins(rehearsal_of(study))

What stays: every source, size, method, data set, mode and shot count, and the dependencies between
them. What shrinks, and is told: `SHRUNK`. Two runs that would become the same see another number of
samples, so that none is lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune
from hpc_xfer.config.recipes import (
    PARENT,
    Architecture,
    Clip,
    ImageText,
    Pretrain,
    Released,
    SimCLR,
    Trained,
    arch_name,
)
from hpc_xfer.study.rehearsal import distinct
from hpc_xfer.study.study_file import Study

SHRUNK = (
    "data sets and sources are tiny stand-ins in their owners' form",
    "architectures are tiny ones of their kind for images of 32 pixels",
    "released weights are two steps of CLIP: their files are not read",
    "init from released weights, lock of such weights, and select are left out",
    "one seed (two of the first pre-training), two draws, two values of what is tuned",
)
_BATCH = 16  # at least; a multiple of the GPUs
_FIRST_SIZE, _SIZE_STEP = 64, 8  # samples of the smallest size, and more of each next one
_DRAWS = 2
_TINY_BATCH = 32


def with_stand_ins(study: Study) -> Study:
    """Return the study for stand-ins; its runs have ids of their own."""
    kept = _with_few_seeds(study.pretrains)
    batch = -(-_BATCH // study.resources.pretrain.gpus) * study.resources.pretrain.gpus
    shrinker = _Shrinker(study.pretrains, batch)
    starts = _kept_starts(study, kept)
    trials = dict(_few_trials(study.trials, study.tuned))
    pretrains = (
        _started(shrinker.shrunk(study.pretrains[i]), study.pretrains[i], start)
        for i, start in zip(kept, starts, strict=True)
    )
    return replace(
        study,
        pretrains=distinct(pretrains),
        blocks=tuple(study.blocks[i] for i in kept),
        starts=starts,
        trials=tuple(trials.values()),
        trial_blocks=tuple(study.trial_blocks[i] for i in trials),
        resources=study.resources.model_copy(
            update={
                "pretrain": study.resources.pretrain.model_copy(
                    update={"probe": None, "workers": 0}
                ),
                "finetune": study.resources.finetune.model_copy(update={"workers": 0}),
            }
        ),
        stand_ins=True,
    )


def _kept_starts(study: Study, kept: Sequence[int]) -> tuple[int | None, ...]:
    """Return what each kept pre-training starts from, where that is kept too."""
    places = {i: place for place, i in enumerate(kept)}
    starts = (study.starts[i] for i in kept)
    return tuple(None if start is None else places.get(start) for start in starts)


def _started(shrunk: Pretrain, recipe: Pretrain, start: int | None) -> Pretrain:
    """Let it start from another pre-training, and lock what the study locks."""
    if start is None:
        return shrunk
    locked = {"lock": recipe.lock} if isinstance(recipe, ImageText) else {}
    return shrunk.model_copy(update={"init": PARENT, **locked})


def on_one_process(study: Study) -> Study:
    """Give each pre-training one process, for a machine without GPUs."""
    one = study.resources.pretrain.model_copy(update={"gpus": 1})
    return replace(study, resources=study.resources.model_copy(update={"pretrain": one}))


def _with_few_seeds(recipes: Sequence[Pretrain]) -> list[int]:
    """Choose one seed of each pre-training, and two of the first one: their spread is shown."""
    seeds: dict[str, int] = {}
    kept = []
    for i, recipe in enumerate(recipes):
        family = recipe.model_dump_json(exclude={"seed"})
        seeds[family] = seeds.get(family, 0) + 1
        if seeds[family] <= (2 if len(seeds) == 1 else 1):
            kept.append(i)
    return kept


def _few_trials(trials: Sequence[Finetune], tuned: Sequence[str]) -> Iterator[tuple[int, Finetune]]:
    """Keep two draws, and of what is tuned the first and the last value of each setting."""
    values: dict[tuple[Any, ...], list[Any]] = {}
    for trial in trials:
        for key, own in _tuned(trial, tuned):
            known = values.setdefault((trial.dataset, trial.shots, trial.mode, key), [])
            if own not in known:
                known.append(own)
    for i, trial in enumerate(trials):
        every = {key: values[trial.dataset, trial.shots, trial.mode, key] for key in tuned
                 if hasattr(trial, key)}  # fmt: skip
        is_end = all(own in (every[k][0], every[k][-1]) for k, own in _tuned(trial, tuned))
        if trial.draw < _DRAWS and is_end:
            tiny = isinstance(trial, AdamWFinetune)
            yield i, trial.model_copy(update={"batch": _TINY_BATCH}) if tiny else trial


def _tuned(trial: Finetune, tuned: Sequence[str]) -> Iterator[tuple[str, Any]]:
    yield from ((key, getattr(trial, key)) for key in tuned if hasattr(trial, key))


class _Shrinker:
    """Makes tiny recipes; the sizes keep their order, since smaller ones lie inside larger."""

    def __init__(self, recipes: Sequence[Pretrain], batch: int) -> None:
        trained = [recipe for recipe in recipes if isinstance(recipe, Trained)]
        sizes = sorted({recipe.samples for recipe in trained})
        step = max(_SIZE_STEP, batch)
        self._samples = {n: max(_FIRST_SIZE, batch) + step * i for i, n in enumerate(sizes)}
        self._source = trained[0].source if trained else "stand_in"
        self._batch = batch

    def shrunk(self, recipe: Pretrain) -> Pretrain:
        arch = _tiny_arch(arch_name(recipe.arch))
        if isinstance(recipe, Released):
            size = min(self._samples.values(), default=_FIRST_SIZE)
            return Clip(
                arch=arch, source=self._source, samples=size, samples_seen=2 * self._batch,
                batch=self._batch, lr=1e-3,
            )  # fmt: skip
        changes: dict[str, Any] = {"arch": arch}
        if isinstance(recipe, Trained):
            changes |= {
                "samples": self._samples[recipe.samples], "samples_seen": 2 * self._batch,
                "batch": self._batch, "accumulate": None, "init": None, "select": None,
                "snapshots": None if recipe.snapshots is None else (self._batch,),
            }  # fmt: skip
        if isinstance(recipe, ImageText):
            changes["lock"] = None
        if isinstance(recipe, SimCLR):
            changes["projection"] = (32, 32, 16)
        return recipe.model_copy(update=changes)


def _tiny_arch(name: str) -> Architecture:
    """Return a ViT of one layer for a ViT, else a ResNet of four blocks."""
    vision: dict[str, Any] = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8,
                              "head_width": 64}  # fmt: skip
    if "vit" in name.lower():
        vision = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    return Architecture.model_validate(
        {"name": f"{name}-stand-in", "embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    )
