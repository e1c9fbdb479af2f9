"""Count over many studies how often statements on known values are right."""

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from benchmarks.coverage.designs import LABELS, Study
from hpc_xfer.results.estimators.crossed import Values, crossed
from hpc_xfer.results.estimators.estimate import Estimate, hull
from hpc_xfer.results.estimators.family import Family
from hpc_xfer.results.estimators.multiplicity import dunnett, tukey
from hpc_xfer.results.estimators.over_sets import OverSets, mean_over_sets, over_sets
from hpc_xfer.results.estimators.ranges import best_minus_worst, spread, unbiased_range
from hpc_xfer.results.intervals import interval


@dataclass
class Tally:
    """Per statement, one value for each study that makes it: 1 right, 0 wrong; or points."""

    found: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, statement: str, value: float) -> None:
        self.found[statement].append(value)

    def mean(self, statement: str) -> float | None:
        values = self.found.get(statement)
        return fmean(values) if values else None


def judge_effects(study: Study, tally: Tally) -> None:
    """Count what is right in a study whose labels differ."""
    _mean(study, tally)
    _gain(study, tally)
    _all_pairs(study, tally)
    _range(study, tally)


def judge_null(study: Study, tally: Tally) -> None:
    """Count false claims in a study whose labels are all the same; the first is scratch."""
    family = _family(study, LABELS)
    scratch, *others = family.labels
    tally.add("false claims", bool(_claims(study, family, images=False)))
    alone = [_family(study, (scratch, label)).difference(label, scratch) for label in others]
    lows = [ends[0] for each in alone if (ends := each.interval()) is not None]
    tally.add("false claims, naive", any(low > 0 for low in lows))
    best, worst, found = best_minus_worst(family)
    if found.freedom is not None and not found.why:
        tally.add("range of equals", _inside(found, 0, tukey(len(LABELS), found.freedom)))
        pair = _family(study, (best, worst)).difference(best, worst)
        tally.add("range of equals, naive", _inside(pair, 0))
    _spread(family, 0.0, "spread of equals", tally)
    unbiased = unbiased_range(family)
    if unbiased is not None:
        tally.add("unbiased range", 100 * unbiased)
        tally.add("unbiased range, naive", 100 * found.value)


def judge_null_chosen_anew(study: Study, tally: Tally) -> None:
    """Count false claims of equals that each have a learning rate chosen for them."""
    claims = _claims(study, _family(study, LABELS), images=False)
    tally.add("false claims, chosen anew", bool(claims))


def judge_null_on_other_images(study: Study, tally: Tally) -> None:
    """Count false claims where labels differ by the luck of the test images alone."""
    claims = _claims(study, _family(study, LABELS), images=True)
    tally.add("false claims, E3", bool(claims))


def _claims(study: Study, family: Family | OverSets, images: bool) -> list[str]:
    """Labels said to be better than the first, by Dunnett."""
    scratch, *others = family.labels
    found = []
    for label in others:
        own = family.difference(label, scratch)
        ends = _simultaneous(own, len(others))
        if images:
            wider = replace(own, image_variance=study.image_variance_of_gain).with_images()
            ends = hull(ends, _simultaneous(wider, len(others)))
        if ends is not None and ends[0] > 0:
            found.append(label)
    return found


def _simultaneous(found: Estimate, comparisons: int) -> tuple[float, float] | None:
    return None if found.freedom is None else found.interval(dunnett(comparisons, found.freedom))


def _mean(study: Study, tally: Tally) -> None:
    label = LABELS[-1]
    tables = [tables[label] for tables in study.tables]
    matter = study.design.draws_matter
    found = crossed(tables[0], matter) if len(tables) == 1 else mean_over_sets(tables, matter)
    truth = {target: values[label] for target, values in study.truths.items()}
    _covers(tally, "mean", replace(found, image_variance=study.image_variance), truth)
    if found.target:
        ends = _over_seeds(over_sets(tables))
        tally.add("mean, naive", ends[0] <= truth[found.target] <= ends[1])


def _gain(study: Study, tally: Tally) -> None:
    a, b = LABELS[-1], LABELS[0]
    found = _family(study, (a, b)).difference(a, b)
    truth = {target: values[a] - values[b] for target, values in study.truths.items()}
    _covers(tally, "gain", replace(found, image_variance=study.image_variance_of_gain), truth)
    if found.target:
        mine, theirs = (over_sets([tables[label] for tables in study.tables]) for label in (a, b))
        both = {key: mine[key] - theirs[key] for key in mine if key in theirs}
        ends = _over_seeds(both)
        tally.add("gain, naive", ends[0] <= truth[found.target] <= ends[1])


def _covers(tally: Tally, name: str, found: Estimate, truth: Mapping[str, float]) -> None:
    ends = found.interval()
    tally.add(f"{name}, said", ends is not None)
    if ends is not None:
        tally.add(name, ends[0] <= truth[found.target] <= ends[1])
        for other in ("E1, chosen anew", "E2") if found.target == "E1" else ():
            tally.add(f"{name} for {other}", ends[0] <= truth[other] <= ends[1])
    wider = hull(ends, found.with_images().interval())
    if wider is not None and found.target == "E2":
        tally.add(f"{name}, E3", wider[0] <= truth["E3"] <= wider[1])


def _all_pairs(study: Study, tally: Tally) -> None:
    """Count whether the intervals of all pairs of labels hold together."""
    family = _family(study, LABELS)
    pairs = list(itertools.combinations(family.labels, 2))
    found = [family.difference(a, b) for a, b in pairs]
    if any(each.why for each in found):
        return
    target = found[0].target
    factors = [tukey(len(family.labels), each.freedom or 0.0) for each in found]

    def all_hold(truths: Mapping[str, float], wide: bool) -> bool:
        return all(
            _inside(each, truths[a] - truths[b], factor if wide else None)
            for each, (a, b), factor in zip(found, pairs, factors, strict=True)
        )

    tally.add("all pairs", all_hold(study.truths[target], wide=True))
    tally.add("all pairs, naive", all_hold(study.truths[target], wide=False))
    for other in ("E1, chosen anew", "E2") if target == "E1" else ():
        tally.add(f"all pairs for {other}", all_hold(study.truths[other], wide=True))


def _range(study: Study, tally: Tally) -> None:
    family = _family(study, LABELS)
    best, worst, found = best_minus_worst(family)
    if found.freedom is None or found.why:
        return
    true = list(study.truths[found.target].values())
    _spread(family, stdev(true), "spread", tally)
    truth = max(true) - min(true)
    tally.add("range", _inside(found, truth, tukey(len(family.labels), found.freedom)))
    alone = _family(study, (best, worst)).difference(best, worst)
    if not alone.why:
        tally.add("range, naive", _inside(alone, truth))


def _spread(family: Family | OverSets, truth: float, statement: str, tally: Tally) -> None:
    found = spread(family)
    if found.low is not None and found.high is not None:
        tally.add(statement, found.low <= truth <= found.high)


def _inside(found: Estimate, truth: float, critical: float | None = None) -> bool:
    ends = found.interval(critical)
    return ends is not None and ends[0] <= truth <= ends[1]


def _family(study: Study, labels: tuple[str, ...]) -> Family | OverSets:
    tables = [{label: each[label] for label in labels} for each in study.tables]
    matter = study.design.draws_matter
    return Family.of(tables[0], matter) if len(tables) == 1 else OverSets.of(tables, matter)


def _over_seeds(values: Values) -> tuple[float, float]:
    """Student's t over the means of seeds, or over draws where there is one seed."""
    seeds = sorted({seed for seed, _ in values})
    each = [fmean([v for (seed, _), v in values.items() if seed == own]) for own in seeds]
    found = interval(each if len(seeds) > 1 else list(values.values()))
    if found.low is None or found.high is None:
        return found.mean, found.mean
    return found.low, found.high
