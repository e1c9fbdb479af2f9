"""Costs of the fine-tunings of a study: estimates, or what finished runs of a kind took.

    infos = check_inputs(study, site).infos
    plan = make_plan_with_costs(study, site, store, "slurm", infos)

Few records are read, and those once: launches of 40,000 runs shall not wait for this.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.site import Site
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.store import Store
from hpc_xfer.study.cost_estimate import (
    CostKind,
    ImageCounts,
    RunCosts,
    Speed,
    computes_on_gpus,
    cost_kind,
    counts_of,
    speed_here,
    speed_on_slurm,
)
from hpc_xfer.study.costs.count_costs import pretrain_kind
from hpc_xfer.study.costs.gpu_rates import card_of
from hpc_xfer.study.costs.image_counts import known_counts
from hpc_xfer.study.costs.ranges import Range
from hpc_xfer.study.costs.stages import FinishedTimes, MeasuredRates, PretrainKind
from hpc_xfer.study.costs.training_speed import speed_of_site
from hpc_xfer.study.plan import Plan, Run, make_plan, parent_recipe
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import machine
from hpc_xfer.system.limits.memory_limit import memory_limit

_MOST_RECORDS = 20  # of a kind
_MOST_LOOKS = 40  # at runs of a kind that have a folder
_OF_MEASURED = Range(0.85, 1.1)  # other nodes, other sizes; assumed


def make_plan_with_costs(
    study: Study, site: Site, store: Store, on: str, infos: Mapping[str, DatasetInfo]
) -> Plan:
    """Make the plan of a study for this site; as `with_costs`."""
    return with_costs(make_plan(study), study, site, store, on, infos)


def with_costs(
    plan: Plan, study: Study, site: Site, store: Store, on: str, infos: Mapping[str, DatasetInfo]
) -> Plan:
    """Return the plan of a study with the costs of its runs on this site.

    Args:
        on: where it will run, local or slurm.
        infos: the data sets that were looked at, by name; of others, what is known counts.
    """
    others = (trial.dataset for trial in study.trials if trial.dataset not in infos)
    images = {**known_counts(others, site), **{name: counts_of(infos[name]) for name in infos}}
    if on == "slurm":
        costs = _costs_on_slurm(study, site, images)
    else:
        gpus, memory = len(machine.gpus()), memory_limit()
        costs = RunCosts(images, speed_here(gpus, machine.cores(), memory, study.resources))
    return with_finished_costs(plan.with_costs(costs), store)


def make_plan_without_data(study: Study, site: Site, store: Store, card: str | None = None) -> Plan:
    """Make the plan of a study for Slurm; its sources and data sets need not be there.

    Args:
        card: of the finished runs that count, as in `finished_rates`.
    """
    images = known_counts((trial.dataset for trial in study.trials), site)
    costs = _costs_on_slurm(study, site, images)
    return with_finished_costs(make_plan(study, costs), store, card)


def _costs_on_slurm(study: Study, site: Site, images: Mapping[str, ImageCounts]) -> RunCosts:
    """The costs on a site; a card that its file names decides the minutes of fine-tunings too."""
    slurm, has_gpu = site.slurm, computes_on_gpus(site.slurm)
    training = speed_of_site(slurm, has_gpu, study.resources.pretrain.threads)
    speed = speed_on_slurm(slurm, study.resources)
    is_named = card_of(slurm.gpu_type, slurm.gpu_memory) is not None
    precisions = {trial.precision for trial in study.trials}
    if has_gpu and is_named and slurm.teraflops is None and precisions:
        flops = min(training.of(each).low for each in precisions)
        speed = replace(speed, flops=flops, solver_flops=training.solver.low)
    return RunCosts(images, speed, training=training)


def finished_rates(plans: Iterable[Plan], store: Store, card: str | None) -> MeasuredRates:
    """Read the samples per second of one GPU in finished pre-trainings of these plans.

    Args:
        card: name of the card that counts, see gpu_rates.py, or several with commas; None for any.
    """
    found: dict[PretrainKind, list[float]] = {}
    left_out: Counter[str] = Counter()
    seen: set[str] = set()  # a run that several plans have counts once
    for plan in plans:
        has_gpu = plan.costs is None or plan.costs.speed.has_gpu
        for run in plan.of("pretrain"):
            if run.id in seen:
                continue
            seen.add(run.id)
            if isinstance(run.recipe, Trained) and os.path.exists(store.run(run.id).record):
                rates = found.setdefault(pretrain_kind(run.recipe), [])
                if len(rates) < _MOST_RECORDS:
                    rate, gpu = _rate(store.record(run.id))
                    is_alike = _is_of(gpu, card) if card is not None else bool(gpu) == has_gpu
                    rates += [rate] if rate is not None and is_alike else []
                    left_out[gpu or "CPUs"] += rate is not None and not is_alike
    ranges = {kind: Range(min(rates), max(rates)) for kind, rates in found.items() if rates}
    return MeasuredRates(
        {kind: _OF_MEASURED.times(each) for kind, each in ranges.items()},
        {kind: len(rates) for kind, rates in found.items() if rates},
        +left_out,
    )


def _rate(record: dict[str, Any] | None) -> tuple[float | None, str | None]:
    """Samples per second of each GPU, None where they cannot be told; and the GPU."""
    if record is None:
        return None, None
    provenance = record.get("provenance", {})
    rate, ranks, gpu = (
        record["metrics"].get("samples_per_second"), provenance.get("ranks"), provenance.get("gpu")
    )  # fmt: skip
    if not isinstance(rate, int | float) or not rate > 0 or not ranks:
        return None, gpu
    return rate / ranks, gpu


def _is_of(gpu: str | None, card: str) -> bool:
    """Tell whether the GPU of a record is one of these cards, of whatever memory."""
    ran_on = card_of(gpu) if gpu else None
    families = {each.split("-")[0] for each in card.split(",")}
    return ran_on is not None and ran_on.name.split("-")[0] in families


def with_finished_costs(plan: Plan, store: Store, card: str | None = None) -> Plan:
    """Return the plan whose estimates are replaced by medians of finished runs, where there are.

    Args:
        card: of the runs that count, as in `finished_rates`; None for any, as on one cluster.
    """
    costs = plan.costs
    if costs is None or plan.resources.finetune.minutes is not None:
        return plan
    found = _finished_seconds([plan], store.finished_runs(), costs.speed, card)
    measured = {kind: median(seconds) for kind, seconds in found.items()}
    count = sum(map(len, found.values()))
    return plan.with_costs(replace(costs, measured=measured, measured_runs=count))


def finished_times_of(
    plans: Sequence[Plan], store: Store, look: FinishedRuns, card: str | None
) -> FinishedTimes:
    """Read what finished runs of several plans took, whatever minutes their grids give.

    Args:
        look: that found which runs are finished.
        card: of the runs that count, as in `finished_rates`.
    """
    rates = finished_rates(plans, store, card)
    costs = next((plan.costs for plan in plans if plan.costs is not None), None)
    if costs is None:
        return FinishedTimes(rates)
    seconds = _finished_seconds(plans, look, costs.speed, card)
    return FinishedTimes(rates, seconds, _on_others(plans, look, costs.speed, card))


def _on_others(
    plans: Sequence[Plan], look: FinishedRuns, speed: Speed, card: str | None
) -> Counter[str]:
    """Count the finished fine-tunings of several plans that ran on other devices, by device."""
    done = look.ids & {run.id for plan in plans for run in plan.of("finetune")}
    finished = (look.find_by(run_id, "finetune") for run_id in done)
    gpus = Counter(each.gpu for each in finished if each is not None)
    others = {gpu: count for gpu, count in gpus.items() if not _counts(gpu, speed, card)}
    return Counter({gpu or "CPUs": count for gpu, count in others.items()})


def _counts(gpu: str | None, speed: Speed, card: str | None) -> bool:
    """Tell whether a run on this GPU, or on CPUs, tells how long others take."""
    if card is not None:
        return _is_of(gpu, card)
    return (gpu is not None) == speed.has_gpu


def finished_times(plan: Plan, store: Store) -> FinishedTimes:
    """Read what finished runs took, of the kinds to which the grid gives minutes."""
    costs, resources = plan.costs, plan.resources
    if costs is None:
        return FinishedTimes()
    rates = MeasuredRates()
    if resources.pretrain.minutes is not None:
        rates = finished_rates([plan], store, None)
    if resources.finetune.minutes is None:
        return FinishedTimes(rates)
    return FinishedTimes(rates, _finished_seconds([plan], store.finished_runs(), costs.speed))


def _finished_seconds(
    plans: Iterable[Plan], finished: FinishedRuns, speed: Speed, card: str | None = None
) -> dict[CostKind, list[float]]:
    """Read the seconds of some finished fine-tunings of each kind.

    Args:
        card: as in `finished_rates`.
    """
    found: dict[CostKind, list[float]] = {}
    for kind, runs in _begun(plans, finished).items():
        seconds = list(_seconds(runs, finished, speed, card))
        if seconds:
            found[kind] = seconds
    finished.save()
    return found


def _begun(plans: Iterable[Plan], finished: FinishedRuns) -> dict[CostKind, list[Run]]:
    """Some fine-tunings of each kind that have a folder, spread over the plans."""
    if not finished.folders:
        return {}
    begun = {
        run.id: run for plan in plans for run in plan.of("finetune") if run.id in finished.folders
    }
    kinds: dict[CostKind, list[Run]] = {}
    for run in begun.values():
        assert isinstance(run.recipe, Finetune)
        kinds.setdefault(cost_kind(run.recipe, parent_recipe(run)), []).append(run)
    return {kind: runs[:: -(-len(runs) // _MOST_LOOKS)] for kind, runs in kinds.items()}


def _seconds(
    runs: list[Run], finished: FinishedRuns, speed: Speed, card: str | None
) -> Iterator[float]:
    """Seconds of at most 20 of these runs, as far as they ran in one go on such a device."""
    count = 0
    for run in runs:
        found = finished.find(run)
        if found is None or found.attempt != 1 or not _counts(found.gpu, speed, card):
            continue
        if found.seconds is None:
            continue
        yield float(found.seconds)
        count += 1
        if count == _MOST_RECORDS:
            return
