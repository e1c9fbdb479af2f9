"""ranks.csv: average ranks of the encoders over data sets."""

from collections.abc import Mapping, Sequence

from hpc_xfer.results.answers.rows import Rank
from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.common_sets import common_sets
from hpc_xfer.results.estimators.ranks import Ranking, ranking

LEAST_SETS = 2
Table = Mapping[str, Mapping[str, Average]]  # data set -> label -> its average


def rank_rows(averages: Sequence[Average]) -> list[Rank]:
    """Rank the encoders per mode and shots, on the data sets that all of them have.

    Snapshots take no part. An average that lacks cells is not ranked against whole ones: the draws
    that it lacks are luck of its own. A label without any whole data set does not hold up the
    others; it is named in `left_out`, as are the data sets.
    """
    groups: dict[tuple[str, str], dict[str, dict[str, Average]]] = {}
    for each in averages:
        if each.encoder.snapshot is None and each.dataset != MEAN:
            sets = groups.setdefault((each.mode, each.shots), {})
            sets.setdefault(each.dataset, {})[each.label] = each
    return [row for place, sets in groups.items() for row in _rows(place, sets)]


def _rows(place: tuple[str, str], sets: Table) -> list[Rank]:
    planned = {label: None for found in sets.values() for label in found}
    whole = {
        name: {place[1]: [label for label in found if _whole(found, label)]}
        for name, found in sets.items()
    }
    # A label with few of the sets, such as an imported baseline, must not cost the others theirs.
    labels = list(common_sets(whole, list(planned)).labels)
    absent = [label for label in planned if label not in labels]
    lacking = {
        dataset: [label for label in labels if not _whole(found, label)]
        for dataset, found in sets.items()
    }
    common = [dataset for dataset, lack in lacking.items() if not lack]
    if len(labels) < 2 or len(common) < LEAST_SETS:
        return []
    found = ranking({label: [_mean(sets[name], label) for name in common] for label in labels})
    left_out = [f"{label} ({_part(sets, label)})" for label in absent]
    left_out += [f"{name} ({_reason(sets[name], lack)})" for name, lack in lacking.items() if lack]
    return [_row(place, label, found, "; ".join(left_out)) for label in labels]


def _row(place: tuple[str, str], label: str, found: Ranking, left_out: str) -> Rank:
    mode, shots = place
    return Rank(
        mode=mode,
        shots=shots,
        label=label,
        rank=found.ranks[label],
        datasets=found.datasets,
        labels=len(found.ranks),
        friedman_p=found.p,
        critical_difference=found.critical_difference,
        not_told_apart="; ".join(found.not_told_apart(label)),
        left_out=left_out,
    )


def _part(sets: Table, label: str) -> str:
    number = sum(_whole(found, label) for found in sets.values())
    return f"{number} of {len(sets)} data sets" if number else "no whole data set"


def _whole(found: Mapping[str, Average], label: str) -> bool:
    return label in found and found[label].interval is not None and not found[label].missing


def _mean(found: Mapping[str, Average], label: str) -> float:
    interval = found[label].interval
    assert interval is not None, "whole averages have it"
    return interval.mean


def _reason(found: Mapping[str, Average], lack: Sequence[str]) -> str:
    """Say which labels lack a data set: they were not planned there, or cells are missing."""
    planned = [label for label in lack if label in found]
    names = planned or lack
    who = names[0] if len(names) == 1 else f"{len(names)} labels, {names[0]} first"
    return f"cells missing of {who}" if planned else f"not planned for {who}"
