"""What pre-training adds: paired differences to training from scratch, with their intervals.

Every pre-training sees the same images (draws are functions of data set and draw number), so the
difference is taken draw by draw, which removes the luck of the draw from it.
"""

from collections.abc import Sequence

from hpc_xfer.results.averages import (
    MEAN,
    Average,
    EncoderInfo,
    Over,
    Score,
    Values,
    by_part,
    grouped,
    over_datasets,
    spread,
    values,
)
from hpc_xfer.results.intervals import Interval, interval


def paired_differences(scores: Sequence[Score], averages: Sequence[Average]) -> list[Average]:
    """Accuracy minus that of scratch, per label, data set (and their mean), shots and mode.

    The partner is the scratch run of the same architecture; a label without one has no gain. Where
    both have the same several seeds, pairs are made by seed too and the interval is over seeds;
    otherwise seeds are averaged first and the interval is over draws.

    Args:
        scores: of the complete cells.
        averages: of the same study; they tell what is missing, and where a mean may be taken.
    """
    scratch = {a.origin.arch: a.origin for a in averages if a.origin.method == "scratch"}
    found = {key: values(group) for key, group in grouped(scores).items()}
    known = {(a.origin, a.mode, a.shots, a.dataset): a for a in averages}
    for key, by_dataset in found.items():
        if (*key, MEAN) in known:
            by_dataset[MEAN] = over_datasets(dict(by_dataset))
    result = []
    for average in averages:
        base = scratch.get(average.origin.arch)
        if base is None or average.origin.method == "scratch":
            continue
        other = known.get((base, average.mode, average.shots, average.dataset))
        mine = _of(found, average.origin, average)
        theirs = _of(found, base, average)
        if other is not None and mine and theirs:
            gain, over = _paired(mine, theirs)
            missing = average.missing + other.missing
            result.append(
                Average(
                    average.origin,
                    average.dataset,
                    average.shots,
                    average.mode,
                    gain,
                    over,
                    missing,
                )
            )
    return result


def _of(
    found: dict[tuple[EncoderInfo, str, str], dict[str, Values]], origin: EncoderInfo, at: Average
) -> Values:
    return found.get((origin, at.mode, at.shots), {}).get(at.dataset, {})


def _paired(mine: Values, theirs: Values) -> tuple[Interval | None, Over]:
    seeds = {seed for seed, _ in mine}
    if len(seeds) > 1 and seeds == {seed for seed, _ in theirs}:
        both = {key: mine[key] - theirs[key] for key in sorted(set(mine) & set(theirs))}
        return spread(both, "seeds"), "seeds"
    left, right = by_part(mine, 1), by_part(theirs, 1)
    points = [left[draw] - right[draw] for draw in sorted(set(left) & set(right))]
    return interval(points) if points else None, "draws"
