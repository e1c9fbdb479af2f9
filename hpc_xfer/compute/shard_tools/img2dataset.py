"""What img2dataset says of a shard that it wrote: `00003_stats.json` and `00003.parquet` beside it.

A shard whose writer died may still be a whole tar with fewer samples: only these files know.
"""

from collections.abc import Collection
from pathlib import Path

from hpc_xfer.system import atomic_files


def sample_count_problem(shard: Path, samples: int) -> str | None:
    """In what the number of samples in a shard differs from what was written, if it does."""
    source = _stats(shard)
    successes = _of_stats(source)
    if successes is None:
        source = shard.with_suffix(".parquet")
        successes = _of_table(source)
    if successes is None or successes == samples:
        return None
    return f"holds {samples:,} samples where {source.name} says {successes:,}; download it again"


def shards_without_stats(folder: Path, shards: Collection[str]) -> list[str]:
    """Shards without stats among others that have them: img2dataset writes these last."""
    without = [name for name in shards if not _stats(folder / name).exists()]
    return without if len(without) < len(shards) else []


def _stats(shard: Path) -> Path:
    return shard.with_name(f"{shard.stem}_stats.json")


def _of_stats(path: Path) -> int | None:
    value = atomic_files.read_json(path)
    successes = value.get("successes") if isinstance(value, dict) else None
    return successes if isinstance(successes, int) else None


def _of_table(path: Path) -> int | None:
    if not path.is_file():
        return None
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    try:
        status = parquet.read_table(path, columns=["status"])["status"]
    except (OSError, KeyError, pa.ArrowException):  # another table that happens to be there
        return None
    return int(pc.sum(pc.equal(status, "success")).as_py() or 0)
