"""Read the lists of keys that blocks of a grid select by: their content decides, not their path."""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpc_xfer.config.recipes import Pretrain, Trained
from hpc_xfer.config.schema import ConfigError, format_value
from hpc_xfer.config.training_data import key_list
from hpc_xfer.config.training_data.selection import KeyList, as_key_list
from hpc_xfer.system.written_path import absolute

_LOC = ("select", "keys")


def settle_keys(grid: Path, values: dict[str, Any]) -> list[ConfigError]:
    """Put digest and path of the list in place of its name, which is relative to the grid."""
    select = values.get("select")
    if not isinstance(select, dict) or select.get("keys") is None:
        return []
    found = as_key_list(select["keys"])
    if found is None:
        del values["select"]
        got = format_value(select["keys"])
        return [(_LOC, f"must be a file with a key per line, or {{column: file}}, got {got}")]
    path = absolute(grid.parent / os.path.expanduser(found[0]))
    try:
        status = os.stat(path)
        digest = _digest(path, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError) as error:
        del values["select"]
        why = error.strerror if isinstance(error, OSError) else error
        return [(_LOC, f"{path}: cannot be read ({why}); name a file with a key per line")]
    keys = {"sha256": digest, "column": found[1], "path": str(path)}
    values["select"] = {**select, "keys": keys}
    return []


def with_names(recipes: Sequence[Pretrain]) -> list[Pretrain]:
    """Call lists of keys by their folders too where other lists have the same file name.

    Tables would show `keys good` for both a/good.txt and b/good.txt, and compare neither.
    """
    lists = {id(recipe): keys for recipe in recipes if (keys := _keys_of(recipe)) is not None}
    paths: dict[str, set[str]] = {}
    for keys in lists.values():
        paths.setdefault(keys.name, set()).add(keys.path)
    several = [each for each in paths.values() if len(each) > 1]
    called = {path: name for each in several for path, name in _apart(each).items()}
    return [
        recipe if (keys := lists.get(id(recipe))) is None else _called(recipe, keys, called)
        for recipe in recipes
    ]


def _keys_of(recipe: Pretrain) -> KeyList | None:
    select = recipe.select if isinstance(recipe, Trained) else None
    return None if select is None else select.keys


def _apart(paths: set[str]) -> dict[str, str]:
    """Name each path by its last parts, as many as it takes."""
    parts = {path: Path(path).with_suffix("").parts for path in paths}
    if len(set(parts.values())) < len(parts):  # good.txt and good.csv
        parts = {path: Path(path).parts for path in paths}
    count = next(
        n
        for n in range(1, 1 + max(map(len, parts.values())))  # all are different at the end
        if len({each[-n:] for each in parts.values()}) == len(parts)
    )
    return {path: "/".join(each[-count:]) for path, each in parts.items()}


def _called(recipe: Pretrain, keys: KeyList, names: Mapping[str, str]) -> Pretrain:
    if keys.path not in names:
        return recipe
    assert isinstance(recipe, Trained) and recipe.select is not None
    named = keys.model_copy(update={"called": names[keys.path]})
    select = recipe.select.model_copy(update={"keys": named})
    return recipe.model_copy(update={"select": select})


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:
    """Digest a file that has not changed once for all runs of a grid."""
    return key_list.digest(path)
