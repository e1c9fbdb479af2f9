"""The samples of a pre-training: its sources, what a selection leaves of them, and their order.

    sources = load(context, recipe)
    sources.order.locate(step), sources.facts()

All ranks load it, and agree on what they see.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpc_xfer.compute.pretraining.initial_weights import agreed
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.compute.shards.sample_order import WINDOW, SampleOrder
from hpc_xfer.compute.shards.source_reader import first_shards
from hpc_xfer.compute.shards.subsets.subset import ChosenSamples, Subset
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.training_data import columns, key_list
from hpc_xfer.config.training_data.choose import choose
from hpc_xfer.errors import AgreedDataError, DataError

_SMALLEST_WINDOW = 4096  # samples; it decides the order of selections: never change it


@dataclass(frozen=True)
class TrainingSet:
    """The indexes of the sources, and the order of the samples."""

    indexes: Mapping[str, ShardIndex]  # by name of the source
    order: SampleOrder

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes. Where labels are learned, all sources have the same."""
        return next(iter(self.indexes.values())).classes

    def facts(self) -> dict[str, Any]:
        """Fingerprint what is read, for the record: each whole source, and the chosen samples."""
        each = {
            name: _fingerprints(index, part)
            for (name, index), part in zip(self.indexes.items(), self.order.parts, strict=True)
        }
        if len(each) == 1:
            return next(iter(each.values()))
        return {
            "source": _digest([facts["source"] for facts in each.values()]),
            "shards": sum(facts["shards"] for facts in each.values()),
            "subset": _digest([facts["subset"] for facts in each.values()]),
            "sources": each,
        }


def load(context: RunContext, recipe: Trained) -> TrainingSet:
    """Load the indexes and draw the samples.

    Raises:
        AgreedDataError: a source cannot be read or lacks something, on any rank; or ranks see
            different sources.
    """
    found = agreed(context.world, lambda: _load(context, recipe))
    if len(set(context.world.gather([json.dumps(found.facts())]))) > 1:
        folders = ", ".join(str(index.folder) for index in found.indexes.values())
        raise AgreedDataError(
            f"{folders}: the ranks see different indexes; wait until `shards index` has ended and "
            "all nodes see what it wrote, then launch again"
        )
    return found


def _load(context: RunContext, recipe: Trained) -> TrainingSet:
    indexes = {name: _index(context, recipe, name) for name in recipe.shares}
    if len({index.classes for index in indexes.values()}) > 1 and recipe.learns_labels:
        raise DataError(
            f"sources {', '.join(indexes)}: have different classes, which {recipe.method} cannot "
            "learn together; give them the same classes.json and index them again"
        )
    choices = {}
    if recipe.select is not None:
        choices = {name: _choose(context, recipe, index) for name, index in indexes.items()}
    return TrainingSet(indexes, _order(recipe, indexes, choices))


def _index(context: RunContext, recipe: Trained, name: str) -> ShardIndex:
    folder = context.site.sources.get(name)
    if folder is None:
        raise DataError(f"source {name!r} is not in the site file; add it to `sources`")
    index = ShardIndex.load(Path(folder))
    if missing := recipe.missing_from(name, index.fields, index.classes):
        what = f"has no {missing}, which {recipe.method} needs"
        raise DataError(f"{folder}: {what}; name another source")
    return index


def _order(
    recipe: Trained, indexes: Mapping[str, ShardIndex], choices: Mapping[str, ChosenSamples]
) -> SampleOrder:
    parts = []
    for first, (name, index) in zip(first_shards(indexes), indexes.items(), strict=True):
        chosen, samples = choices.get(name), recipe.samples_by_source[name]
        sizes = [entry.samples for entry in index.entries] if chosen is None else chosen.sizes
        try:
            parts.append(Subset.draw(sizes, samples, recipe.subset_seed, chosen, first))
        except ValueError as error:
            more = "" if chosen is None else " after select"
            raise DataError(
                f"{index.folder}: {error}{more}; lower samples or name a larger source"
            ) from None
    window = _window(indexes, choices)
    return SampleOrder(parts[0], recipe.batch, recipe.seed, window, tuple(parts[1:]))


def _window(indexes: Mapping[str, ShardIndex], choices: Mapping[str, ChosenSamples]) -> int:
    """Samples that are shuffled together: fewer where samples are chosen from more shards.

    So the windows lie in as many shards as without a selection, whose tables a process keeps.
    """
    if not choices:
        return WINDOW
    left = sum(len(chosen.samples) for chosen in choices.values())
    total = sum(index.samples for index in indexes.values())
    return max(_SMALLEST_WINDOW, WINDOW * left // total)


def _choose(context: RunContext, recipe: Trained, index: ShardIndex) -> ChosenSamples:
    """Apply the recipe's selection to a source."""
    assert recipe.select is not None
    keys = recipe.select.keys
    listed = None if keys is None else key_list.hashes(keys, context.store.root)
    left = choose(columns.load(index), recipe.select, recipe.subset_seed, listed).samples
    ends = np.cumsum([0, *(entry.samples for entry in index.entries)])
    starts = np.searchsorted(left, ends)
    inside = left - np.repeat(ends[:-1], np.diff(starts))
    return ChosenSamples(inside.astype(np.int32), starts)


def _fingerprints(index: ShardIndex, subset: Subset) -> dict[str, Any]:
    shards = [index.entries[shard - subset.first_shard].sha256 for shard in subset.shards]
    members: list[Any] = [shards, subset.counts, subset.seed]
    if subset.chosen is not None:
        chosen = hashlib.sha256(subset.chosen.samples.tobytes())
        chosen.update(subset.chosen.starts.tobytes())
        members.append(chosen.hexdigest())
    facts = {"source": index.fingerprint, "shards": len(subset.shards)}
    return {**facts, "subset": _digest(members)}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
