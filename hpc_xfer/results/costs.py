"""Costs of one more seed or draw, from the seconds that records name."""

from collections.abc import Sequence

from hpc_xfer.results.answers.variance import Costs
from hpc_xfer.results.panels import PanelKey
from hpc_xfer.results.parts.all_parts import PlacedPart


def repetition_costs(parts: Sequence[PlacedPart]) -> Costs:
    """Add up the hours of all runs; None where a study has no finished run of a kind.

    A draw: the fine-tunings of a panel, divided by its draws. A seed: the pre-trainings and all
    their fine-tunings, divided per label by its seeds.
    """
    of_draws: dict[PanelKey, float] = {}
    draws: dict[PanelKey, set[str]] = {}
    of_labels: dict[str, float] = {}
    seeds: dict[str, set[str]] = {}
    of_parents = {each.parent.id: _total(each) for each in parts if not each.dataset}
    for each in (each for each in parts if each.dataset):
        for score in each.scores:
            draws.setdefault((score.mode, score.dataset, score.shots), set()).add(score.draw)
        for mode, dataset, hours in each.part.hours:
            key = (mode, dataset, each.shots)
            of_draws[key] = of_draws.get(key, 0.0) + hours
        label = each.encoder.label
        before = of_parents.pop(each.parent.id, None)
        if before is not None:
            seeds.setdefault(label, set()).add(each.parent.id)
        of_labels[label] = of_labels.get(label, 0.0) + _total(each) + (before or 0.0)
    per_seed = [hours / len(seeds.get(label, ("",))) for label, hours in of_labels.items()]
    return Costs(
        seed_hours=sum(per_seed) if any(each.part.states["finished"] for each in parts) else None,
        draw_hours={key: hours / len(draws[key]) for key, hours in of_draws.items()},
        unit="GPU-hours" if any(each.part.on_gpu for each in parts) else "CPU-hours",
    )


def _total(placed: PlacedPart) -> float:
    return sum(hours for _, _, hours in placed.part.hours)
