"""Paired differences: accuracy minus that of training from scratch, with intervals.

Every pre-training sees the same images (draws are functions of data set and draw number), so the
difference is taken draw by draw, which removes the variance between draws.
"""

from collections.abc import Sequence
from dataclasses import replace

from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.intervals import Interval, interval
from hpc_xfer.results.scores import (
    Over,
    Score,
    Values,
    by_dataset,
    by_draw,
    grouped,
    over_datasets,
    spread,
)


def paired_differences(scores: Sequence[Score], averages: Sequence[Average]) -> list[Average]:
    """Accuracy minus that of scratch, per label, data set (and their mean), shots and mode.

    The partner is the scratch run of the same architecture; a label without one has no difference.
    Where both have the same several seeds, pairs are made by seed too and the interval is over
    seeds; otherwise seeds are averaged first and the interval is over draws.

    Args:
        scores: one per complete cell.
        averages: of the same study; they say what is missing, and where a mean exists.
    """
    scratch = {a.encoder.arch: a.encoder for a in averages if a.encoder.method == "scratch"}
    found = {group: by_dataset(members) for group, members in grouped(scores).items()}
    known = {(a.encoder, a.mode, a.shots, a.dataset): a for a in averages}
    for group, datasets in found.items():
        if (*group, MEAN) in known:
            datasets[MEAN] = over_datasets(dict(datasets))
    result = []
    for average in averages:
        base = scratch.get(average.encoder.arch)
        if base is None or average.encoder.method == "scratch":
            continue
        at = (average.mode, average.shots)
        partner = known.get((base, *at, average.dataset))
        mine = found.get((average.encoder, *at), {}).get(average.dataset)
        theirs = found.get((base, *at), {}).get(average.dataset)
        if partner and mine and theirs:
            difference, over = _paired(mine, theirs)
            missing = average.missing + partner.missing
            result.append(replace(average, interval=difference, over=over, missing=missing))
    return result


def _paired(mine: Values, theirs: Values) -> tuple[Interval | None, Over]:
    seeds = {seed for seed, _ in mine}
    if len(seeds) > 1 and seeds == {seed for seed, _ in theirs}:
        both = {key: mine[key] - theirs[key] for key in sorted(set(mine) & set(theirs))}
        return spread(both, "seeds"), "seeds"
    left, right = by_draw(mine), by_draw(theirs)
    points = [left[draw] - right[draw] for draw in sorted(set(left) & set(right))]
    return interval(points) if points else None, "draws"
