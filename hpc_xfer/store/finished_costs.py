"""Costs of the fine-tunings of a study: estimates, or what finished runs of a kind took.

    infos = check_inputs(study, site).infos
    plan = make_plan_with_costs(study, site, store, "slurm", infos)

Few records are read: launches of 40,000 runs shall not wait for this.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.site import Site
from hpc_xfer.store.store import Store
from hpc_xfer.study.cost_estimate import (
    CostKind,
    RunCosts,
    Speed,
    cost_kind,
    counts_of,
    speed_here,
    speed_on_slurm,
)
from hpc_xfer.study.plan import Plan, Run, make_plan, parent_recipe
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import machine
from hpc_xfer.system.limits.memory_limit import memory_limit

_MOST_RECORDS = 20  # of a kind
_MOST_LOOKS = 40  # at runs of a kind that have a folder


def make_plan_with_costs(
    study: Study, site: Site, store: Store, on: str, infos: Mapping[str, DatasetInfo]
) -> Plan:
    """Make the plan of a study for this site.

    Args:
        on: where it will run, local or slurm.
        infos: the data sets, by name.
    """
    if on == "slurm":
        speed = speed_on_slurm(site.slurm, study.resources)
    else:
        gpus, memory = len(machine.gpus()), memory_limit()
        speed = speed_here(gpus, machine.cores(), memory, study.resources)
    images = {name: counts_of(info) for name, info in infos.items()}
    return with_finished_costs(make_plan(study, RunCosts(images, speed)), store)


def with_finished_costs(plan: Plan, store: Store) -> Plan:
    """Return the plan whose estimates are replaced by medians of finished runs, where there are."""
    costs = plan.costs
    if costs is None or plan.resources.finetune.minutes is not None:
        return plan
    found: dict[CostKind, list[float]] = {}
    for kind, runs in _begun(plan, store).items():
        seconds = list(_seconds(runs, store, costs.speed))
        if seconds:
            found[kind] = seconds
    measured = {kind: median(seconds) for kind, seconds in found.items()}
    count = sum(map(len, found.values()))
    return plan.with_costs(replace(costs, measured=measured, measured_runs=count))


def _begun(plan: Plan, store: Store) -> dict[CostKind, list[Run]]:
    """Some fine-tunings of each kind that have a folder, spread over the plan."""
    try:
        with os.scandir(store.runs) as entries:
            names = {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    kinds: dict[CostKind, list[Run]] = {}
    for run in plan.of("finetune"):
        if run.id in names:
            assert isinstance(run.recipe, Finetune)
            kinds.setdefault(cost_kind(run.recipe, parent_recipe(run)), []).append(run)
    return {kind: runs[:: -(-len(runs) // _MOST_LOOKS)] for kind, runs in kinds.items()}


def _seconds(runs: list[Run], store: Store, speed: Speed) -> Iterator[float]:
    """Seconds of at most 20 of these runs, as far as they ran in one go on such a device."""
    count = 0
    for run in runs:
        record = store.record(run.id)
        took = None if record is None else _seconds_of(record, speed)
        if took is None:
            continue
        yield took
        count += 1
        if count == _MOST_RECORDS:
            return


def _seconds_of(record: dict[str, Any], speed: Speed) -> float | None:
    timing, provenance = record.get("timing"), record.get("provenance")
    if timing is None or provenance is None:
        return None
    if provenance.get("attempt", 1) != 1 or bool(provenance.get("gpu")) != speed.has_gpu:
        return None
    seconds = timing.get("seconds")
    return None if seconds is None else float(seconds)
