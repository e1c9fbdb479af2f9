"""Read the files that img2dataset writes beside a shard: `00003_stats.json` and `00003.parquet`.

If its writer died, a shard can be a complete tar with too few samples: only these files show it.
"""

from collections.abc import Collection
from pathlib import Path

from hpc_xfer.errors import XferError
from hpc_xfer.system import atomic_files

_MOST = 2**63 - 1


def sample_count_problem(shard: Path, samples: int) -> str | None:
    """Describe the difference if a shard has fewer samples than img2dataset wrote, else None."""
    source = _stats(shard)
    successes = _successes_in_stats(source)
    if successes is None:
        source = shard.with_suffix(".parquet")
        successes = _successes_in_table(source)
    if successes is None or successes == samples:
        return None
    return f"holds {samples:,} samples where {source.name} says {successes:,}; download it again"


def shards_without_stats(folder: Path, shards: Collection[str]) -> list[str]:
    """List shards without stats, if others have them: img2dataset writes the stats last."""
    without = [name for name in shards if not _stats(folder / name).exists()]
    return without if len(without) < len(shards) else []


def _stats(shard: Path) -> Path:
    return shard.with_name(f"{shard.stem}_stats.json")


def _successes_in_stats(path: Path) -> int | None:
    value = atomic_files.read_json(path, follow=True)
    successes = value.get("successes") if isinstance(value, dict) else None
    return successes if type(successes) is int and 0 <= successes <= _MOST else None


def _successes_in_table(path: Path) -> int | None:
    if not path.is_file():
        return None
    import pyarrow as pa
    import pyarrow.compute as pc

    from hpc_xfer.compute.shard_tools.tables import parquet_batches, parquet_files
    from hpc_xfer.compute.shard_tools.tables.parquet_batches import GroupRun

    try:
        parquet_files.check_columns([path], ["status"])
        kinds = parquet_batches.common_types([path], ["status"])
        found = 0
        for batch in parquet_batches.batches(GroupRun(path, None), kinds, None):
            found += pc.sum(pc.equal(batch.columns["status"], "success")).as_py() or 0
    except (XferError, pa.ArrowException):  # a table of something else
        return None
    return found
