"""Shrink selections to what stand-ins of a source can have; their order and number stay.

    selections = StandInSelections(recipes, sizes, batch=16)
    selections.of(recipe)         # the tiny selection of its source, and the samples then
    selections.lists              # the lists of keys that the tiny selections name, with their text

Thresholds and columns stay, for the values are made around them. Where the smallest share is below
a quarter, the shares are spread from a quarter to three quarters. Classes and images per class
become few. Lists of keys are lists of keys of the stand-ins.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.training_data.selection import KeyList, SampleSelection
from hpc_xfer.config.training_data.stand_in_values import CLASSES, stand_in_columns

_FEWEST_CLASSES, _CLASS_STEP = 4, 2  # that a selection draws, and more of each next number
_IMAGE_STEP = 4  # images per class more of each next number
_LEAST_SHARE, _LARGEST_SHARE = 0.25, 0.75  # of `best`; 1% of a stand-in is nothing


@dataclass(frozen=True)
class StandInList:
    """A list of keys of samples of the stand-ins."""

    keys: KeyList  # its path is that of the list that it replaces
    text: str


class StandInSelections:
    """The tiny selections of a study."""

    def __init__(self, recipes: Sequence[Trained], sizes: Mapping[int, int], batch: int) -> None:
        """
        Args:
            sizes: the tiny size of each number of samples of the study.
            batch: least number of samples of a pre-training.
        """
        self._sizes = sizes
        chosen = [(r.select, r.samples) for r in recipes if r.select is not None]
        selections = [selection for selection, _ in chosen]
        self._shares = _spread({x for s in selections for x in (s.best or {}).values()})
        exact = [s for s in selections if s.classes is not None]
        self._classes = _ranked(
            {s.classes for s in exact if s.classes}, _FEWEST_CLASSES, _CLASS_STEP
        )
        least = max(2 * _IMAGE_STEP, -(-batch // _FEWEST_CLASSES))
        self._exact = _ranked({s.per_class for s in exact if s.per_class}, least, _IMAGE_STEP)
        balanced = [(s, n) for s, n in chosen if s.per_class and s.classes is None]
        most = max((sizes[n] for _, n in balanced), default=0)
        self._balanced = _ranked(
            {s.per_class for s, _ in balanced if s.per_class}, -(-most // len(CLASSES)), _IMAGE_STEP
        )
        self.lists = _lists(chosen)

    def of(self, recipe: Trained) -> tuple[SampleSelection | None, int]:
        """Return the tiny selection of a pre-training, and the samples that it takes."""
        selection, samples = recipe.select, self._sizes[recipe.samples]
        if selection is None:
            return None, samples
        changes: dict[str, Any] = {}
        if selection.keys is not None:
            keys = self.lists[_same(selection.keys)].keys
            names = {"path": selection.keys.path, "called": selection.keys.called}
            changes["keys"] = keys.model_copy(update=names)
        if selection.best is not None:
            changes["best"] = {name: self._shares[x] for name, x in selection.best.items()}
        if selection.per_class is not None and selection.classes is not None:
            classes, images = self._classes[selection.classes], self._exact[selection.per_class]
            changes |= {"classes": classes, "per_class": images}
            samples = classes * images
        elif selection.per_class is not None:
            changes["per_class"] = self._balanced[selection.per_class]
        return selection.model_copy(update=changes), samples


def _ranked(values: Collection[int], first: int, step: int) -> dict[int, int]:
    return {value: first + step * i for i, value in enumerate(sorted(values))}


def _spread(shares: Collection[float]) -> dict[float, float]:
    """Keep shares of which a stand-in has enough; else spread them, in their order; 1 stays."""
    if min(shares, default=1.0) >= _LEAST_SHARE:
        return {share: share for share in shares}
    parts = sorted(share for share in shares if share < 1)
    step = (_LARGEST_SHARE - _LEAST_SHARE) / max(1, len(parts) - 1)
    return {1.0: 1.0, **{share: _LEAST_SHARE + step * i for i, share in enumerate(parts)}}


def _same(keys: KeyList) -> tuple[str, str]:
    return keys.sha256, keys.column


def _lists(
    chosen: Sequence[tuple[SampleSelection, int]],
) -> dict[tuple[str, str], StandInList]:
    """Make a list for each of the study; those that give fewer samples name fewer, and are inside.

    Each names more than half of the samples.
    """
    columns = stand_in_columns(selection for selection, _ in chosen)
    sizes: dict[tuple[str, str], int] = {}
    known: dict[tuple[str, str], KeyList] = {}
    for selection, samples in chosen:
        if (keys := selection.keys) is not None:
            sizes[_same(keys)] = max(samples, sizes.get(_same(keys), 0))
            known.setdefault(_same(keys), keys)
    made = {}
    for i, same in enumerate(sorted(known, key=lambda each: sizes[each])):
        keys, count = known[same], len(known)
        text = columns[keys.column].listed((count + 1 + i) / (2 * count + 1))
        digest = hashlib.sha256(text.encode()).hexdigest()
        made[same] = StandInList(keys.model_copy(update={"sha256": digest}), text)
    return made
