"""Compare what finished runs used of released weights with what the site file states now.

A run is named by its recipe, which has the name of the weights alone: a statement that was changed
in the site file since then, or another file under that name, has no effect on it.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from hpc_xfer.config.recipes import PARENT, Pretrain, Released, Trained
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.config.released.weight_facts import SITE
from hpc_xfer.config.released.weight_files import find_weights
from hpc_xfer.config.site import Site
from hpc_xfer.errors import DataError
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan


def changed_weights(plan: Plan, done: Collection[str], store: Store, site: Site) -> Iterator[str]:
    """Yield a sentence for each weights that finished runs used otherwise."""
    told: set[str] = set()
    for run in plan.of("pretrain"):
        assert isinstance(run.recipe, Pretrain)
        name = _weights_of(run.recipe)
        entry = None if name is None else site.weights(name)
        if entry is None or run.id not in done:
            continue
        used = _used(store.record(run.id))
        resized = isinstance(run.recipe, Released)  # a training takes the size of its arch
        what = " and ".join(_changes(entry, used, resized)) if used else ""
        sentence = (
            f"finished runs, the first {run.id}, used weights {name} with another {what} than the "
            "site file states now; to run with the new ones, give them another name there and in "
            "the grid"
        )
        if what and f"{name} {what}" not in told:
            told.add(f"{name} {what}")
            yield sentence


def _weights_of(recipe: Pretrain) -> str | None:
    if isinstance(recipe, Released):
        return recipe.weights
    return recipe.init if isinstance(recipe, Trained) and recipe.init != PARENT else None


def _used(record: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what a record tells of weights; None in those of versions without statements."""
    data = {} if record is None else record.get("provenance", {}).get("data", {})
    used = data.get("weights")
    return used if isinstance(used, dict) and "normalization_by" in used else None


def _changes(entry: ReleasedEntry, used: Mapping[str, Any], resized: bool) -> Iterator[str]:
    before, now = used.get("bytes"), _bytes(entry)
    if None not in (before, now) and before != now:
        yield "file"
    if entry.key != used.get("key"):
        yield "key"
    stated = entry.normalization
    if stated is None:
        differs = used["normalization_by"] == SITE
    else:
        differs = [list(values) for values in stated] != [used.get("mean"), used.get("std")]
    if differs:
        yield "mean or std"
    if resized and entry.size not in (None, used.get("image_size")):
        yield "size"


def _bytes(entry: ReleasedEntry) -> int | None:
    """Bytes of the files that the site names now; to digest gigabytes at each launch is slow."""
    try:
        return find_weights(Path(entry.path)).bytes
    except DataError:  # which preflight has told
        return None
