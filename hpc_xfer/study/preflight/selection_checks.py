"""Count what the selections of a study leave of its sources, before anything runs."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.training_data import columns, key_list
from hpc_xfer.config.training_data.choose import choose
from hpc_xfer.config.training_data.selection import KEY, SampleSelection
from hpc_xfer.errors import XferError

_Count = tuple[int, str]  # samples, and what each part of the selection leaves


def too_few_chosen(recipe: Trained, name: str, index: ShardIndex) -> str | None:
    """Say that the source lacks a column, or that too few samples are left; None if it fits."""
    assert recipe.select is not None
    try:
        count, told = _count(recipe, index)
    except XferError as error:
        return str(error)
    asked = recipe.samples_by_source[name]
    if asked <= count:
        return None
    way = "lower samples, or select less" if count else "select less"
    if not count and recipe.select.keys is not None:
        column = recipe.select.keys.column
        of = "names of its files without suffix" if column == KEY else f"values of {column!r}"
        way = f"a list for this source has {of}"
    return (
        f"leaves {count:,} of the {index.samples:,} samples of {name!r} ({told}), and samples asks "
        f"for {asked:,}; {way}"
    )


def chosen_notes(recipe: Trained, index: ShardIndex) -> Iterator[str]:
    """Say how many samples a selection leaves."""
    if recipe.select is not None:
        count, told = _count(recipe, index)
        yield f"select leaves {count:,} of {index.samples:,} samples ({told})"


def _count(recipe: Trained, index: ShardIndex) -> _Count:
    """Count, once for all recipes that select alike.

    The number does not depend on the seed, but for the classes that are drawn by it.

    Raises:
        XferError: as `choose`.
    """
    assert recipe.select is not None
    seed = recipe.subset_seed if recipe.select.classes is not None else 0
    spec = recipe.select.model_dump_json()
    path = "" if recipe.select.keys is None else recipe.select.keys.path
    return _counted(index.folder, index.fingerprint, spec, path, seed)


@lru_cache(maxsize=256)
def _counted(folder: Path, fingerprint: str, spec: str, path: str, seed: int) -> _Count:
    from hpc_xfer.config import shard_index

    selection = SampleSelection.model_validate_json(spec)
    listed = None
    if selection.keys is not None:
        keys = selection.keys.model_copy(update={"path": path})
        selection = selection.model_copy(update={"keys": keys})
        listed = key_list.hashes(keys)
    left = choose(columns.load(shard_index.parse(folder)), selection, seed, listed)
    told = left.told if listed is None else f"{left.told}; the list has {len(listed):,} keys"
    return len(left.samples), told
