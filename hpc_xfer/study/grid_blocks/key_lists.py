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
    """Call lists of keys by their folders too where others have the same file name.

    Tables would show `keys good` for both a/good.txt and b/good.txt, and compare neither.
    """
    lists = [_keys_of(recipe) for recipe in recipes]
    paths: dict[str, dict[str, str]] = {}  # file name -> digest -> its first path
    for keys in lists:
        if keys is not None:
            paths.setdefault(keys.name, {}).setdefault(keys.sha256, keys.path)
    names = {name: _apart(found) for name, found in paths.items() if len(found) > 1}
    return [
        _called(recipe, keys, names[keys.name][keys.sha256])
        if keys is not None and keys.name in names
        else recipe
        for recipe, keys in zip(recipes, lists, strict=True)
    ]


def _keys_of(recipe: Pretrain) -> KeyList | None:
    select = recipe.select if isinstance(recipe, Trained) else None
    return None if select is None else select.keys


def _apart(paths: Mapping[str, str]) -> dict[str, str]:
    """Name each path by its last parts, as many as it takes."""
    parts = {digest: Path(path).with_suffix("").parts for digest, path in paths.items()}
    if len(set(parts.values())) < len(parts):  # good.txt and good.csv
        parts = {digest: Path(path).parts for digest, path in paths.items()}
    count = next(
        n
        for n in range(1, 1 + max(map(len, parts.values())))  # all are different at the end
        if len({each[-n:] for each in parts.values()}) == len(parts)
    )
    return {digest: "/".join(each[-count:]) for digest, each in parts.items()}


def _called(recipe: Pretrain, keys: KeyList, name: str) -> Pretrain:
    assert isinstance(recipe, Trained) and recipe.select is not None
    named = keys.model_copy(update={"called": name})
    select = recipe.select.model_copy(update={"keys": named})
    return recipe.model_copy(update={"select": select})


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:
    """Digest a file that has not changed once for all runs of a grid."""
    return key_list.digest(path)
