"""GPU-hours of one pre-training, from its row of runs.csv."""

from itertools import pairwise

from hpc_xfer.results.tables.csv_files import Row, number
from hpc_xfer.system.limits import bounded_json


def gpu_hours(run: Row) -> float | None:
    """Return hours times ranks; CPU-hours where a rank had no GPU.

    A run that went on with another number of ranks counts each part with its own, by its share of
    the steps: a record has the seconds of the whole run alone.

    Returns:
        None where the row lacks seconds or ranks, as for scratch and released weights.
    """
    seconds, found = number(run.get("seconds", "")), _parts(run.get("ranks", ""))
    if seconds is None or not found:
        return None
    starts = [start for start, _ in found]
    end = max(number(run.get("steps", "")) or 0.0, starts[-1])
    if end == starts[0]:
        return seconds / 3600 * found[-1][1]
    lengths = [after - start for start, after in pairwise([*starts, end])]
    rank_steps = sum(n * ranks for n, (_, ranks) in zip(lengths, found, strict=True))
    return seconds / 3600 * rank_steps / (end - starts[0])


def _parts(told: str) -> list[tuple[int, int]]:
    """Return the first step and the ranks of each part; none where a table was changed by hand."""
    try:
        return [(int(part["from_step"]), int(part["ranks"])) for part in bounded_json.parse(told)]
    except (ValueError, TypeError, KeyError):
        return []
