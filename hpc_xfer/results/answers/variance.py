"""variance.csv: where the luck in an accuracy comes from, and what one more of each would bring."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from hpc_xfer.results.answers.rows import Variance
from hpc_xfer.results.estimators.components import Component, Components, components
from hpc_xfer.results.estimators.crossed import Values
from hpc_xfer.results.panels import PanelKey, Panels, draws_matter

_NORMAL_95 = 1.96  # standard deviations: half of a 95% interval of a normal distribution
_LABEL_DRAW = (
    "how much the lead of one encoder changes from draw to draw; more draws average it out"
)
_RUN = "what is left with the same draw and seed of an encoder; more of either averages it out"


@dataclass(frozen=True)
class Costs:
    """Hours that one more repetition takes, for all encoders; None where no record says it."""

    seed_hours: float | None = None  # all pre-trainings once more, with all their fine-tunings
    draw_hours: Mapping[PanelKey, float | None] = field(default_factory=dict)  # all its trials
    unit: str = "GPU-hours"  # CPU-hours where nothing ran on a GPU


@dataclass(frozen=True)
class _Widths:
    """Half-widths of a difference of two encoders: now, and with one more of either."""

    now: float | None
    more_draws: float | None
    more_seeds: float | None
    alone: bool  # for these pre-trainings alone: each has one seed


@dataclass(frozen=True)
class _Step:
    """The gain and price of one more of a component; empty for those one cannot buy alone."""

    half_width: float | None = None
    hours: float | None = None
    text: str = ""


def variance_rows(panels: Panels, costs: Costs) -> list[Variance]:
    """Split the luck of each (mode, data set, shots) into draw, seed, label x draw, run, image.

    Snapshots take no part: they share the luck of the encoder that they lead to.
    """
    rows: list[Variance] = []
    for place, panel in panels.panels.items():
        tables = {
            label: values
            for label, values in panel.found().items()
            if panels.encoders[label].snapshot is None
        }
        if tables:
            rows += _rows(place, tables, costs)
            rows.append(_image(place, tables, panel.n_test))
    return rows


def _rows(place: PanelKey, tables: Mapping[str, Values], costs: Costs) -> list[Variance]:
    found = components(tables, draws_matter(place[2]))
    widths = _Widths(
        now=found.half_width(found.seeds, found.draws),
        more_draws=found.half_width(found.seeds, found.draws + 1),
        more_seeds=found.half_width(found.seeds + 1, found.draws),
        alone=found.repeats == 0,
    )
    draw_hours = costs.draw_hours.get(place)
    by_draw = _Step(widths.more_draws, draw_hours, _draw_text(widths, draw_hours, costs.unit))
    by_seed = _Step()  # released weights have no other seed
    if any(seed for values in tables.values() for seed, _ in values):
        text = _seed_text(widths, costs)
        by_seed = _Step(widths.more_seeds, costs.seed_hours, text)
    parts = (  # with the number of repeats, and what one more brings
        (found.draw, found.draws, by_draw),
        (found.seed, found.seeds, by_seed),
        (found.label_draw, found.draws, _Step(text=_LABEL_DRAW if found.label_draw.sd else "")),
        (found.run, found.draws * found.seeds, _Step(text=_RUN if found.run.sd else "")),
    )
    return [_row(place, found, part, n, widths.now, step) for part, n, step in parts]


def _row(
    place: PanelKey,
    found: Components,
    part: Component,
    repeats: int,
    now: float | None,
    step: _Step,
) -> Variance:
    mode, dataset, shots = place
    left_out = f"without {found.left_out}: seeds and draws do not overlap" if found.left_out else ""
    return Variance(
        mode=mode,
        dataset=dataset,
        shots=shots,
        component=part.source,
        sd=part.sd,
        freedom=part.freedom,
        repeats=repeats,
        half_width=now if part.source in ("draw", "seed") else None,
        half_width_more=step.half_width,
        cost_hours=step.hours,
        text=step.text,
        why="; ".join(note for note in (part.why, left_out) if note),
    )


def _image(place: PanelKey, tables: Mapping[str, Values], images: int | None) -> Variance:
    """Make the row of the test images: binomial luck, at the mean accuracy of all encoders."""
    mode, dataset, shots = place
    mean = fmean(sorted(value for values in tables.values() for value in values.values()))
    sd = math.sqrt(mean * (1 - mean) / images) if images else None
    text = "" if sd is None or images is None else _image_text(images, sd)
    return Variance(
        mode=mode,
        dataset=dataset,
        shots=shots,
        component="image",
        sd=sd,
        freedom=None,
        repeats=images or 0,
        half_width=None,
        half_width_more=None,
        cost_hours=None,
        text=text,
        why="" if images else "the number of test images is not known",
    )


def _image_text(images: int, sd: float) -> str:
    half = _points(_NORMAL_95 * sd)
    return (
        f"{images:,} test images leave {half} points on one accuracy; more draws and seeds do not "
        "narrow this"
    )


def _draw_text(widths: _Widths, hours: float | None, unit: str) -> str:
    if widths.more_draws is None:
        return ""
    return _change("one more draw", widths, widths.more_draws) + _price(hours, unit)


def _seed_text(widths: _Widths, costs: Costs) -> str:
    if widths.alone:
        price = "" if costs.seed_hours is None else f", {_hours(costs.seed_hours)} {costs.unit},"
        return f"a second seed of each pre-training{price} lets differences hold for other seeds"
    if widths.more_seeds is None:
        return ""
    text = _change("one more seed of each pre-training", widths, widths.more_seeds)
    return text + _price(costs.seed_hours, costs.unit)


def _change(what: str, widths: _Widths, more: float) -> str:
    """Say what it does to the half-width of a difference; now there may be none."""
    pair = "a difference of these pre-trainings" if widths.alone else "a difference of two encoders"
    if widths.now is None:
        return f"{what} gives {pair} an interval, {_points(more)} points"
    if _points(widths.now) == _points(more):
        return f"{what} leaves {pair} at {_points(more)} points"
    return f"{what} narrows {pair} from {_points(widths.now)} to {_points(more)} points"


def _price(hours: float | None, unit: str) -> str:
    return "" if hours is None else f" for {_hours(hours)} {unit}"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _points(share: float) -> str:
    return f"±{100 * share:.1f}"
