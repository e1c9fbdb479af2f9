"""Read the lists of keys that blocks of a grid select by: their content decides, not their path."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpc_xfer.config.schema import ConfigError, format_value
from hpc_xfer.config.training_data import key_list
from hpc_xfer.config.training_data.selection import as_key_list
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


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:
    """Digest a file that has not changed once for all runs of a grid."""
    return key_list.digest(path)
