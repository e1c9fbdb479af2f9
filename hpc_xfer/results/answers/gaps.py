"""gaps.csv: differences between the levels of each axis, with simultaneous intervals.

Comparisons that share an axis, settings, mode, data set and shot count are one family: their
intervals hold together (Tukey 1953, Kramer 1956; Dunnett 1955 against scratch), and their p-values
are corrected together (Holm 1979). So of 20 families without any effect, one shows a false
difference.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hpc_xfer.results.answers.axes import Comparison, comparisons
from hpc_xfer.results.answers.rows import Gap, Verdict
from hpc_xfer.results.averages import MEAN, mean_sets
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.estimators.crossed import Values
from hpc_xfer.results.estimators.estimate import Estimate, hull
from hpc_xfer.results.estimators.family import Family
from hpc_xfer.results.estimators.multiplicity import dunnett, holm, tukey
from hpc_xfer.results.estimators.over_sets import OverSets
from hpc_xfer.results.estimators.ranges import Spread, best_minus_worst, spread, unbiased_range
from hpc_xfer.results.panels import Panel, Panels, draws_matter
from hpc_xfer.results.parts.record_cache import RecordCache, key_of
from hpc_xfer.results.test_images import TestImages

EQUAL = "equal in all repetitions: no useful interval"
_ROUNDING = 1e-12  # of a share: errors below it are of differences that are equal but for rounding


@dataclass(frozen=True)
class _Place:
    """One family of comparisons: mode, data set, shots, and the scores compared."""

    comparison: Comparison
    mode: str
    dataset: str  # or MEAN
    shots: str
    tables: Sequence[Mapping[str, Values]]  # of each data set: label -> values
    panels: Mapping[str, Panel]  # data set -> panel
    left_out: str
    images: TestImages

    @cached_property
    def family(self) -> Family | OverSets:
        if self.dataset == MEAN:
            return OverSets.of(self.tables, draws_matter(self.shots))
        return Family.of(self.tables[0], draws_matter(self.shots))

    @property
    def name(self) -> str:
        each = self.comparison
        return " | ".join([each.axis, each.at, self.mode, self.dataset, self.shots])

    def missing(self, labels: Sequence[str]) -> int:
        return sum(panel.missing.get(name, 0) for panel in self.panels.values() for name in labels)

    def with_images(self, found: Estimate, a: str, b: str) -> Estimate:
        variance = self.images.variance(self.mode, self.panels, self.shots, a, b)
        return replace(found, image_variance=variance)


def gaps(panels: Panels, images: TestImages, cache: RecordCache | None = None) -> list[Gap]:
    """Compare the levels of every axis, per mode, data set and shot count, and over data sets.

    Args:
        panels: all scores.
        images: how accuracies vary over test images.
        cache: has the rows of panels that are as before.
    """
    rows: list[Gap] = []
    for comparison in comparisons(list(panels.encoders.values())):
        digest = key_of(comparison)
        for place in _places(panels, comparison, images):
            states = [panels.states.get((place.mode, name, place.shots)) for name in place.panels]
            if cache is None or None in states:
                rows += _rows(place)
                continue
            labels = list(place.tables[0])
            key = key_of("gaps", digest, place.dataset, place.left_out, labels, states)
            rows += cache.rows("answers", key, Gap, functools.partial(_rows, place))
    return rows


def _rows(place: _Place) -> list[Gap]:
    rows = _pairs(place)
    if place.comparison.has_range and len(place.family.comparable) > 2:
        rows += _ranges(place)
    return rows


def _places(panels: Panels, comparison: Comparison, images: TestImages) -> Iterator[_Place]:
    names = {encoder.label for encoder in comparison.encoders}
    needed = [] if comparison.reference is None else [comparison.reference.label]
    for mode in panels.modes:
        over = mean_sets(panels, mode, names, needed)
        for shots in panels.shots(mode):
            at = panels.at(mode, shots)
            found = {
                dataset: {n: v for n, v in panel.found().items() if n in names}
                for dataset, panel in at.items()
            }
            for dataset, tables in found.items():
                if _enough(comparison, tables):
                    own = {dataset: at[dataset]}
                    yield _Place(comparison, mode, dataset, shots, [tables], own, "", images)
            if len(over.datasets) < 2 or shots not in over.shots:
                continue
            sets = [{n: found[name][n] for n in over.labels} for name in over.datasets]
            if _enough(comparison, sets[0]):
                own = {name: at[name] for name in over.datasets}
                yield _Place(comparison, mode, MEAN, shots, sets, own, over.left_out, images)


def _enough(comparison: Comparison, labels: Mapping[str, object]) -> bool:
    """True where there is something to compare, and the reference where there must be one."""
    reference = comparison.reference
    return len(labels) > 1 and (reference is None or reference.label in labels)


def _pairs(place: _Place) -> list[Gap]:
    pairs = [
        (a, b)
        for a, b in place.comparison.pairs()
        if a.label in place.family.labels and b.label in place.family.labels
    ]
    found = [
        _useful(place.with_images(place.family.difference(a.label, b.label), a.label, b.label))
        for a, b in pairs
    ]
    known = [each.p for each in found if each.p is not None]
    corrected = iter(holm(known))
    return [
        _pair_row(place, a, b, each, len(pairs), None if each.p is None else next(corrected))
        for (a, b), each in zip(pairs, found, strict=True)
    ]


def _useful(found: Estimate) -> Estimate:
    """Take an interval without width away: on few test images all repetitions may be equal.

    It would claim any difference that is not 0 for sure, from two draws.
    """
    is_point = found.se is not None and not found.why and found.se < _ROUNDING
    return replace(found, why=EQUAL) if is_point else found


def _pair_row(
    place: _Place, a: EncoderInfo, b: EncoderInfo, found: Estimate, pairs: int, p_holm: float | None
) -> Gap:
    level = dict(place.comparison.levels)
    row = _row(place, a.label, b.label, found, pairs)
    return replace(
        row,
        kind="pair",
        level_a=level[a],
        level_b=level[b],
        p=found.p,
        p_holm=p_holm,
        missing=place.missing([a.label, b.label]),
        differs=place.comparison.differs(a, b),
        verdict=_verdict(row),
    )


def _ranges(place: _Place) -> list[Gap]:
    """Make the rows on all levels: their range and, where there is an error, their spread."""
    labels = place.family.labels
    level = {encoder.label: name for encoder, name in place.comparison.levels}
    best, worst, difference = best_minus_worst(place.family)
    found = _useful(place.with_images(difference, best, worst))
    range_row = _row(place, best, worst, found, len(labels) * (len(labels) - 1) // 2)
    rows = [
        replace(
            range_row,
            kind="best-worst",
            level_a=level[best],
            level_b=level[worst],
            unbiased=unbiased_range(place.family),
            missing=place.missing(labels),
            verdict=_verdict(range_row),
        )
    ]
    between = spread(place.family)
    if between.sd is not None and found.why != EQUAL:
        rows.append(_spread_row(rows[0], between.sd, between))
    return rows


def _spread_row(range_row: Gap, sd: float, between: Spread) -> Gap:
    return replace(
        range_row,
        kind="spread",
        a="",
        b="",
        level_a="",
        level_b="",
        difference=sd,
        ci95_low=between.low,
        ci95_high=between.high,
        images_low=None,
        images_high=None,
        p=between.p,
        unbiased=None,
        freedom=between.freedom,
        verdict="",
    )


def _row(place: _Place, a: str, b: str, found: Estimate, pairs: int) -> Gap:
    """Fill what all kinds of rows have; the interval is simultaneous in the family."""
    critical = _critical(place, found.freedom)
    ends = found.interval(critical) if critical is not None else None
    both = found.with_images()
    wider = _critical(place, both.freedom)
    images = None
    if found.image_variance is not None and wider is not None:
        images = hull(ends, both.interval(wider))
    return Gap(
        axis=place.comparison.axis,
        kind="pair",
        family=place.name,
        at=place.comparison.at,
        a=a,
        b=b,
        level_a="",
        level_b="",
        mode=place.mode,
        dataset=place.dataset,
        shots=place.shots,
        difference=found.value,
        ci95_low=None if ends is None else ends[0],
        ci95_high=None if ends is None else ends[1],
        images_low=None if images is None else images[0],
        images_high=None if images is None else images[1],
        p=None,
        p_holm=None,
        comparisons=pairs,
        levels=len(place.family.labels),
        unbiased=None,
        freedom=found.freedom if not found.why else None,
        target=found.target if not found.why else "",
        seeds_a=place.family.seeds(a),
        seeds_b=place.family.seeds(b),
        draws=found.draws,
        datasets=len(place.panels),
        left_out=place.left_out,
        missing=0,
        differs="",
        verdict="",
        why=found.why,
    )


def _critical(place: _Place, freedom: float | None) -> float | None:
    if freedom is None:
        return None
    labels = len(place.family.labels)
    if place.comparison.reference is not None:
        return dunnett(labels - 1, freedom)
    return tukey(labels, freedom)


def _verdict(row: Gap) -> Verdict:
    if row.ci95_low is None or row.ci95_high is None:
        return ""
    if row.ci95_low > 0:
        return "a"
    return "b" if row.ci95_high < 0 else "not told apart"
