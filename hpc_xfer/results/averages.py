"""Averages over draws and seeds, with their intervals.

Missing cells are counted beside every average, never left out in silence.
"""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hpc_xfer.results.common_sets import CommonSets, common_sets
from hpc_xfer.results.encoder_info import (
    ENCODER_COLUMNS,
    EncoderInfo,
    read_encoder,
    setting_columns,
)
from hpc_xfer.results.estimators.crossed import Values
from hpc_xfer.results.estimators.estimate import Estimate, Target, hull
from hpc_xfer.results.estimators.over_sets import over_sets
from hpc_xfer.results.intervals import Interval
from hpc_xfer.results.panels import Panel, PanelKey, PanelMeans, Panels
from hpc_xfer.results.tables import csv_files
from hpc_xfer.results.tables.csv_files import Row, Table, fixed, number
from hpc_xfer.results.test_images import TestImages

MEAN = "mean"  # stands for the data set in the average over data sets
NOTHING = "no complete cell"
Over = Literal["draws", "seeds", "seeds and draws"]
PanelSettings = Mapping[PanelKey, tuple[tuple[str, str], ...]]
_SCOPE = (
    "target", "images_low", "images_high", "seeds", "draws", "n_test", "datasets", "left_out",
    "why",
)  # fmt: skip
COLUMNS = (
    *ENCODER_COLUMNS, "dataset", "shots", "mode",
    "mean", "std", "n", "ci95_low", "ci95_high", "over", "missing", "labels", *_SCOPE,
)  # fmt: skip


@dataclass(frozen=True)
class Average:
    """One mean with its interval; all other fields but `encoder` are columns of averages.csv."""

    encoder: EncoderInfo
    dataset: str  # or MEAN
    shots: str
    mode: str
    interval: Interval | None  # shares; None where no cell is complete
    over: Over  # what the interval is over
    missing: int  # cells that should be in it and are not
    labels: int | None = None  # used per draw, to train and to choose; None where it is not known
    target: Target = ""  # what the interval covers: E1 | E2, see estimators/estimate.py
    images_low: float | None = None  # ends of the E3 interval, over other test images too
    images_high: float | None = None
    seeds: int = 1  # of the pre-training
    draws: int = 1
    n_test: int | None = None  # test images; the sum over data sets for their mean
    datasets: int = 1  # that the mean is over
    left_out: str = ""  # data sets that the mean leaves out, with the reason
    why: str = ""  # there is no interval

    @property
    def label(self) -> str:
        return self.encoder.label

    @property
    def row(self) -> dict[str, object]:
        """A row of averages.csv."""
        found = self.interval
        return {
            **self.encoder.whole_row,
            "dataset": self.dataset,
            "shots": self.shots,
            "mode": self.mode,
            "mean": fixed(found.mean if found else None),
            "std": fixed(found.std if found else None),
            "n": found.n if found else 0,
            "ci95_low": fixed(found.low if found else None),
            "ci95_high": fixed(found.high if found else None),
            "over": self.over,
            "missing": self.missing,
            "labels": self.labels,
            **{name: _cell(getattr(self, name)) for name in _SCOPE},
        }


def table(averages: Sequence[Average], settings: PanelSettings | None = None) -> Table:
    """Make averages.csv; settings that vary in the study are columns too.

    Args:
        averages: one per row.
        settings: of the fine-tunings in a panel; a mean over data sets has those that all share.
    """
    found = [_settings(each, settings or {}) for each in averages]
    rows = [{**own, **each.row} for own, each in zip(found, averages, strict=True)]
    of_encoders = setting_columns(average.encoder for average in averages)
    of_modes = dict.fromkeys(name for own in found for name in own if name not in COLUMNS)
    return csv_files.without_empty((*COLUMNS, *of_encoders, *of_modes), rows, ("labels",))


def _settings(average: Average, settings: PanelSettings) -> dict[str, str]:
    own = settings.get((average.mode, average.dataset, average.shots))
    if own is not None:
        return dict(own)
    if average.dataset != MEAN:
        return {}
    alike = [
        set(found)
        for (mode, _, shots), found in settings.items()
        if (mode, shots) == (average.mode, average.shots)
    ]
    return dict(sorted(set.intersection(*alike))) if alike else {}


def read_averages(rows: Iterable[Row]) -> list[Average]:
    """Read the rows of averages.csv."""
    return [
        csv_files.typed(Average, row, encoder=read_encoder(row), interval=_interval(row))
        for row in rows
    ]


def _cell(value: object) -> object:
    return fixed(value) if isinstance(value, float) else value


def averages(panels: Panels, images: TestImages | None = None) -> list[Average]:
    """Averages per (label, mode, shots): one per data set, and one over data sets.

    The latter is over the same data sets for all labels and shots of a mode, see common_sets.py;
    it is absent where these are fewer than two.

    Args:
        panels: the scores of all planned cells, complete or not.
        images: how accuracies vary over test images; by default nothing is known of it.
    """
    images = images or TestImages()
    rows = {mode: mean_sets(panels, mode) for mode in panels.modes}
    means = PanelMeans(panels)
    result = []
    for mode, shots, label in _groups(panels):
        over = rows[mode]
        at = {
            name: panel for name, panel in panels.at(mode, shots).items() if label in panel.tables
        }
        place = _Row(panels.encoders[label], mode, shots)
        for dataset, panel in at.items():
            result.append(_of_set(place, dataset, panel, means, images))
        if len(over.datasets) > 1 and label in over.labels and shots in over.shots:
            result.append(_over_sets(place, over, at, means, images))
    return result


def mean_sets(
    panels: Panels,
    mode: str,
    labels: Collection[str] | None = None,
    needed: Collection[str] = (),
) -> CommonSets:
    """Choose the data sets that means of a mode are over, for these labels (all by default)."""
    found: dict[str, dict[str, list[str]]] = {}
    names: dict[str, None] = {}
    for (own, dataset, shots), panel in panels.panels.items():
        if own == mode:
            mine = [name for name in panel.tables if labels is None or name in labels]
            names |= dict.fromkeys(mine)
            filled = [name for name in mine if panel.tables[name]]
            found.setdefault(dataset, {})[shots] = filled
    others = _other_versions(panels, mode)
    over = common_sets(
        {name: at for name, at in found.items() if name not in others}, list(names), needed
    )
    reasons = [*filter(None, [over.left_out]), *(f"{name} (another version)" for name in others)]
    return replace(over, left_out="; ".join(reasons))


def _other_versions(panels: Panels, mode: str) -> list[str]:
    """List the versions of a data set but the one with most values: a mean takes one of them."""
    versions: dict[str, dict[str, int]] = {}
    for (own, dataset, _), panel in panels.panels.items():
        if own == mode and panel.version_of:
            counts = versions.setdefault(panel.version_of, {})
            counts[dataset] = counts.get(dataset, 0) + sum(map(len, panel.tables.values()))
    kept = {max(counts, key=lambda name: counts[name]) for counts in versions.values()}
    return [name for counts in versions.values() for name in counts if name not in kept]


@dataclass(frozen=True)
class _Row:
    encoder: EncoderInfo
    mode: str
    shots: str


def _groups(panels: Panels) -> list[tuple[str, str, str]]:
    """(mode, shots, label), encoder after encoder, in the order of the plan."""
    found: dict[str, dict[tuple[str, str], None]] = {}
    for (mode, _, shots), panel in panels.panels.items():
        for label in panel.tables:
            found.setdefault(label, {})[mode, shots] = None
    return [(mode, shots, label) for label, at in found.items() for mode, shots in at]


def _of_set(
    place: _Row, dataset: str, panel: Panel, means: PanelMeans, images: TestImages
) -> Average:
    label = place.encoder.label
    values = panel.tables[label]
    used = panel.labels_used.get(label, set())
    found = means.of_set((place.mode, dataset, place.shots), label) if values else None
    if found is not None:
        by_image = images.variance(place.mode, [dataset], place.shots, label)
        if panel.n_test and (by_image is None or len(values) == 1):
            by_image = binomial(found.value, panel.n_test)
        found = replace(found, image_variance=by_image)
    return _average(
        place,
        dataset=dataset,
        found=found,
        values=values,
        missing=panel.missing[label],
        labels=next(iter(used)) if len(used) == 1 else None,
        n_test=panel.n_test,
    )


def binomial(share: float, n: int) -> float:
    """Variance of one accuracy over test images (Agresti and Coull 1998: never 0)."""
    p = (n * share + 2) / (n + 4)
    return p * (1 - p) / (n + 4)


def _over_sets(
    place: _Row, over: CommonSets, at: Mapping[str, Panel], means: PanelMeans, images: TestImages
) -> Average:
    label = place.encoder.label
    panels = [at[name] for name in over.datasets]
    tables = [panel.tables[label] for panel in panels]
    keys = [(place.mode, name, place.shots) for name in over.datasets]
    found = means.over_sets(keys, label, over.labels)
    by_image = images.variance(place.mode, over.datasets, place.shots, label)
    sizes = [panel.n_test for panel in panels]
    used = [panel.labels_used.get(label, set()) for panel in panels]
    known = all(len(each) == 1 for each in used)
    return _average(
        place,
        dataset=MEAN,
        found=replace(found, image_variance=by_image),
        values=over_sets(tables),
        missing=sum(panel.missing[label] for panel in panels),
        labels=sum(next(iter(each)) for each in used) if known else None,
        n_test=sum(size or 0 for size in sizes) if all(sizes) else None,
        datasets=len(panels),
        left_out=over.left_out,
    )


def _average(
    place: _Row,
    *,
    dataset: str,
    found: Estimate | None,
    values: Values,
    missing: int,
    labels: int | None,
    n_test: int | None,
    datasets: int = 1,
    left_out: str = "",
) -> Average:
    both = None
    if found is not None and found.image_variance is not None:
        both = hull(found.interval(), found.with_images().interval())
    return Average(
        encoder=place.encoder,
        dataset=dataset,
        shots=place.shots,
        mode=place.mode,
        interval=None if found is None else _as_interval(found, values),
        over=_over(found),
        missing=missing,
        labels=labels,
        target="" if found is None or found.why else found.target,
        images_low=None if both is None else both[0],
        images_high=None if both is None else both[1],
        seeds=0 if found is None else found.seeds,
        draws=0 if found is None else found.draws,
        n_test=n_test,
        datasets=datasets,
        left_out=left_out,
        why=NOTHING if found is None else found.why,
    )


def _as_interval(found: Estimate, values: Values) -> Interval:
    ends = found.interval()
    return Interval(
        mean=found.value,
        n=max(1, len(values)),
        std=statistics.stdev(values.values()) if len(values) > 1 else None,
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
    )


def _over(found: Estimate | None) -> Over:
    if found is None or found.seeds < 2:
        return "draws"
    return "seeds and draws" if found.draws > 1 else "seeds"


def _interval(row: Row) -> Interval | None:
    mean = number(row["mean"])
    if mean is None:
        return None
    return Interval(
        mean=mean,
        n=int(row["n"]),
        std=number(row["std"]),
        low=number(row["ci95_low"]),
        high=number(row["ci95_high"]),
    )
