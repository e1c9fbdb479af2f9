"""Shrink a rehearsal to what stand-ins allow: tiny encoders, few samples, few repetitions.

    study = with_stand_ins(rehearsal_of(study))

What stays: every source, size, method, data set, mode and shot count, and the dependencies between
them. What shrinks, and is told: `SHRUNK`. Two runs that would become the same see another number of
samples, so that none is lost.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune
from hpc_xfer.config.recipes import Pretrain, Released, SimCLR, Trained
from hpc_xfer.config.training_data.mixture import shares_text
from hpc_xfer.config.training_data.selection import KeyList
from hpc_xfer.config.training_data.stand_in_values import MOST_SAMPLES
from hpc_xfer.errors import StudyError
from hpc_xfer.study.rehearsal import distinct
from hpc_xfer.study.stand_ins.stand_in_select import StandInList, StandInSelections
from hpc_xfer.study.stand_ins.stand_in_weights import NeededWeights, StandInWeights, weights_of
from hpc_xfer.study.stand_ins.tiny_archs import TinyArchs
from hpc_xfer.study.study_facts import StudyFacts
from hpc_xfer.study.study_file import Study

SHRUNK = (
    "data sets and sources are tiny stand-ins in their owners' form",
    "architectures are tiny ones of their kind for images of 32 pixels",
    "released weights, by file or tag, are random ones of these in a file of the same kind",
    "columns and lists of keys of select are made up around its thresholds; small shares of best "
    "become a quarter or more, classes and images per class become few",
    "one seed (two of the first pre-training with several), two draws, two values of what is tuned",
    "one part per batch, and no processes that load data",
)
_BATCH = 16  # at least; a multiple of the GPUs
_FIRST_SIZE, _SIZE_STEP = 64, 8  # samples of the smallest size, and more of each next one
_DRAWS = 2
_TINY_BATCH = 32


def with_stand_ins(study: Study) -> Study:
    """Return the study for stand-ins; its runs have ids of their own."""
    kept = _kept(study)
    shrinker = _Shrinker(study)
    trials = dict(_few_trials(study))
    return replace(
        study,
        pretrains=distinct(shrinker.shrunk(study.pretrains[i]) for i in kept),
        blocks=tuple(study.blocks[i] for i in kept),
        starts=_kept_starts(study, kept),
        trials=tuple(trials.values()),
        trial_blocks=tuple(study.trial_blocks[i] for i in trials),
        resources=study.resources.model_copy(
            update={
                "pretrain": study.resources.pretrain.model_copy(update={"workers": 0}),
                "finetune": study.resources.finetune.model_copy(update={"workers": 0}),
            }
        ),
        facts=_facts(study.facts, shrinker.weights),
        stand_ins=True,
    )


def needed_weights(study: Study) -> dict[str, NeededWeights]:
    """List the files of weights that the stand-ins of a study need, by their names there."""
    return StandInWeights(study.pretrains).needed(TinyArchs(study.pretrains))


def needed_lists(study: Study) -> list[StandInList]:
    """List the lists of keys that the stand-ins of a study need."""
    return list(_Shrinker(study).selections.lists.values())


def with_lists(study: Study, files: dict[str, Path]) -> Study:
    """Tell a study on stand-ins where its lists of keys are.

    Args:
        files: by the digest of their content.
    """
    return replace(study, pretrains=tuple(_with_list(each, files) for each in study.pretrains))


def _with_list(recipe: Pretrain, files: dict[str, Path]) -> Pretrain:
    keys = _keys_of(recipe)
    if keys is None or not isinstance(recipe, Trained) or recipe.select is None:
        return recipe
    keys = keys.model_copy(update={"path": str(files[keys.sha256])})
    return recipe.model_copy(update={"select": recipe.select.model_copy(update={"keys": keys})})


def _keys_of(recipe: Pretrain) -> KeyList | None:
    select = recipe.select if isinstance(recipe, Trained) else None
    return None if select is None else select.keys


def _facts(facts: StudyFacts, weights: StandInWeights) -> StudyFacts:
    """State what is known of released weights of the stand-ins for them too."""
    known = {name: each for of, each in facts.weights.items() for name in (of, *weights.names(of))}
    return facts.model_copy(update={"weights": known})


def _kept_starts(study: Study, kept: Sequence[int]) -> tuple[int | None, ...]:
    """Return the place, among those that are kept, of what each pre-training starts from."""
    places = {i: place for place, i in enumerate(kept)}
    starts = (study.starts[i] for i in kept)
    return tuple(None if start is None else places[start] for start in starts)


def on_one_process(study: Study) -> Study:
    """Give each pre-training one process, for a machine without GPUs.

    Where batch norm is per GPU, the number of processes decides the result, and stays.
    """
    if any(isinstance(recipe, Trained) and recipe.ranks for recipe in study.pretrains):
        return study
    one = study.resources.pretrain.model_copy(update={"gpus": 1})
    return replace(study, resources=study.resources.model_copy(update={"pretrain": one}))


def _kept(study: Study) -> list[int]:
    """Choose one seed of each pre-training, two of the first with several, and their parents."""
    families: list[str] = []  # recipes without their seed, and without that of what they start from
    for recipe, start in zip(study.pretrains, study.starts, strict=True):
        before = "" if start is None else families[start]
        families.append(recipe.model_dump_json(exclude={"seed"}) + before)
    counts = Counter(families)
    twice = next((each for each in families if counts[each] > 1), None)
    left = {each: 2 if each == twice else 1 for each in families}
    kept: set[int] = set()
    for i, family in enumerate(families):
        if left[family]:
            left[family] -= 1
            kept.add(i)
    for i in reversed(range(len(families))):  # parents come before their children
        parent = study.starts[i] if i in kept else None
        kept |= set() if parent is None else {parent}
    return sorted(kept)


def _few_trials(study: Study) -> Iterator[tuple[int, Finetune]]:
    """Keep two draws, and of what is tuned the first and the last value of each cell."""
    tuned = study.tuned
    values: dict[tuple[Any, ...], list[Any]] = {}
    cells = [  # blocks may differ in a head, or in the pre-trainings that they start from
        (trial.model_dump_json(exclude={*tuned, "draw"}), blocks)
        for trial, blocks in zip(study.trials, study.trial_blocks, strict=True)
    ]
    for trial, cell in zip(study.trials, cells, strict=True):
        for key, own in _tuned(trial, tuned):
            known = values.setdefault((cell, key), [])
            if own not in known:
                known.append(own)
    for i, (trial, cell) in enumerate(zip(study.trials, cells, strict=True)):
        every = {key: values[cell, key] for key, _ in _tuned(trial, tuned)}
        is_end = all(own in (every[k][0], every[k][-1]) for k, own in _tuned(trial, tuned))
        if trial.draw < _DRAWS and is_end:
            tiny = isinstance(trial, AdamWFinetune)
            yield i, trial.model_copy(update={"batch": _TINY_BATCH}) if tiny else trial


def _tuned(trial: Finetune, tuned: Sequence[str]) -> Iterator[tuple[str, Any]]:
    yield from ((key, getattr(trial, key)) for key in tuned if hasattr(trial, key))


class _Shrinker:
    """Makes tiny recipes; the sizes keep their order, since smaller ones lie inside larger."""

    def __init__(self, study: Study) -> None:
        gpus = study.resources.pretrain.gpus
        trained = [recipe for recipe in study.pretrains if isinstance(recipe, Trained)]
        self._batch = -(-_BATCH // gpus) * gpus
        first = max(_FIRST_SIZE, self._batch, _for_shares(trained))
        step = max(_SIZE_STEP, self._batch)
        sizes = {n: first + step * i for i, n in enumerate(sorted({r.samples for r in trained}))}
        self._archs = TinyArchs(study.pretrains)
        self.selections = StandInSelections(trained, sizes, self._batch)
        self.weights = StandInWeights(study.pretrains)

    def shrunk(self, recipe: Pretrain) -> Pretrain:
        changes: dict[str, Any] = {"arch": self._archs.of(recipe.arch)}
        if (name := weights_of(recipe)) is not None:
            key = "weights" if isinstance(recipe, Released) else "init"
            changes[key] = self.weights.name(name, recipe.arch)
        if isinstance(recipe, Trained):
            select, samples = self.selections.of(recipe)
            changes |= {
                "samples": samples, "samples_seen": 2 * self._batch, "select": select,
                "batch": self._batch, "accumulate": None,
                "snapshots": None if recipe.snapshots is None else (self._batch,),
            }  # fmt: skip
        if isinstance(recipe, SimCLR):
            changes["projection"] = (32, 32, 16)
        return recipe.model_copy(update=changes)


def _for_shares(recipes: Sequence[Trained]) -> int:
    """Return the samples of which each source of a mixture gives one.

    Raises:
        StudyError: a share is too small for a stand-in.
    """
    most = 1
    for shares in (recipe.shares for recipe in recipes):
        most = max(most, -(-sum(shares.values()) // min(shares.values())))
        if most > MOST_SAMPLES:
            name = min(shares, key=lambda each: shares[each])
            raise StudyError(
                f"source {name!r}: its share of {shares_text(shares)} gives none of the "
                f"{MOST_SAMPLES:,} samples of a stand-in; rehearse on real data, without "
                "--stand-ins"
            )
    return most
