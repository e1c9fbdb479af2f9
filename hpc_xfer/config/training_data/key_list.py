"""Lists of keys that a grid names: a text file, one key a line.

A launch copies the hashes of the keys into its store, under the digest of the file. So a job needs
neither the file nor the folder of the grid, and a file that changes makes other runs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.training_data.columns import text_hash
from hpc_xfer.config.training_data.selection import KeyList
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "lists"  # in a store
_MOST_BYTES = 4 << 30  # of a file of hashes: 500 million keys


def digest(path: Path) -> str:
    """64 hex digits of a list's bytes.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    return atomic_files.sha256(path)


def hashes(keys: KeyList, store: Path | None = None) -> "NDArray[Any]":
    """Return the sorted hashes of the keys, from the file or from a store.

    Raises:
        DataError: neither is there, or the file has changed.
    """
    import numpy as np

    stored = None if store is None else _stored(store, keys)
    if stored is not None and stored.exists():
        try:
            return np.frombuffer(atomic_files.read_bytes(stored, _MOST_BYTES), "<u8")
        except (OSError, ValueError) as error:
            raise DataError(
                f"{stored}: cannot be read ({error}); remove it and launch the study again"
            ) from None
    if not keys.path:
        raise DataError(
            f"{stored}: not found; a launch writes this list of keys, so launch the study again"
        )
    try:
        if digest(Path(keys.path)) != keys.sha256:
            raise ValueError("it has changed since the grid was read")
        found = np.fromiter(map(text_hash, _lines(Path(keys.path))), "<u8")
    except (OSError, ValueError) as error:
        raise DataError(f"{keys.path}: cannot be read ({error}); name a list of keys") from None
    return np.unique(found)


def put_in_store(store: Path, keys: KeyList) -> None:
    """Write the hashes of the keys into a store, unless they are there.

    Raises:
        DataError: the list cannot be read.
        StoreError: the store cannot be written.
    """
    path = _stored(store, keys)
    if not path.exists():
        atomic_files.write_bytes(path, hashes(keys).tobytes())


def _stored(store: Path, keys: KeyList) -> Path:
    return store / FOLDER / f"{keys.sha256}.u64"


def _lines(path: Path) -> Iterator[str]:
    """Yield the keys of a list without spaces and line ends around them; empty lines are none."""
    handle = atomic_files.open_plainly(path, follow=True)
    with open(handle, encoding="utf-8-sig", errors="surrogateescape") as file:
        for line in file:
            if key := line.strip():
                yield key
