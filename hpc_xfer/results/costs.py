"""What one more seed or one more draw would cost, from the seconds that records name."""

from collections.abc import Mapping, Sequence

from hpc_xfer.results.answers.variance import Costs
from hpc_xfer.results.cells import Cell, Record
from hpc_xfer.results.encoder_info import Encoders
from hpc_xfer.results.panels import PanelKey
from hpc_xfer.study.plan import Run


def repetition_costs(
    cells: Sequence[Cell], encoders: Encoders, records: Mapping[str, Record]
) -> Costs:
    """Add up the hours of all runs; None where a study has no finished run of a kind.

    A draw: the fine-tunings of a panel, divided by its draws. A seed: the pre-trainings and all
    their fine-tunings, divided per label by its seeds.
    """
    of_draws: dict[PanelKey, float] = {}
    draws: dict[PanelKey, set[object]] = {}
    of_labels: dict[str, float] = {}
    seeds: dict[str, set[str]] = {}
    parents: dict[str, Run] = {}
    for cell in cells:
        key = (cell.label, cell.dataset, str(cell.recipe.shots))
        hours = sum(_hours(records[run.id]) for run in cell.trials if run.id in records)
        of_draws[key] = of_draws.get(key, 0.0) + hours
        draws.setdefault(key, set()).add(cell.recipe.draw)
        label = encoders[cell.encoder].label
        of_labels[label] = of_labels.get(label, 0.0) + hours
        if cell.parent.id not in parents:
            parents[cell.parent.id] = cell.parent
            seeds.setdefault(label, set()).add(cell.parent.id)
            record = records.get(cell.parent.id)
            of_labels[label] += 0.0 if record is None else _hours(record)
    on_gpu = any(record.get("provenance", {}).get("gpu") for record in records.values())
    per_seed = [hours / len(seeds.get(label, ("",))) for label, hours in of_labels.items()]
    return Costs(
        seed_hours=sum(per_seed) if records else None,
        draw_hours={key: hours / len(draws[key]) for key, hours in of_draws.items()},
        unit="GPU-hours" if on_gpu else "CPU-hours",
    )


def _hours(record: Record) -> float:
    """Wall-clock hours times ranks: each rank holds a GPU (or a core)."""
    seconds = record.get("timing", {}).get("seconds") or 0.0
    ranks = record.get("provenance", {}).get("ranks") or 1
    return float(seconds) * int(ranks) / 3600
