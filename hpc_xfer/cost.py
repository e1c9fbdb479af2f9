"""Estimate what studies cost before they are launched: GPU-hours, time, disk, files.

python -m hpc_xfer.cost grids/size_scaling.yaml --gpus 8,64 --gpu a100
"""

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from hpc_xfer import cli
from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.config.site import Site, load_site
from hpc_xfer.slurm.limits import standing_limits
from hpc_xfer.slurm.nodes.node_cards import gpu_types
from hpc_xfer.slurm.nodes.node_cpus import with_cpus
from hpc_xfer.slurm.partition_time import with_time_limit
from hpc_xfer.slurm.request import Limits
from hpc_xfer.slurm.sbatch import is_installed
from hpc_xfer.store.finished_costs import finished_times_of, make_plan_without_data
from hpc_xfer.store.launched_study import load_in_store
from hpc_xfer.store.store import Store
from hpc_xfer.study.costs import cost_table
from hpc_xfer.study.costs.chosen_card import ChosenCards, choose_cards, with_card
from hpc_xfer.study.costs.ranges import Range
from hpc_xfer.study.costs.study_cost import StudyCost, study_cost
from hpc_xfer.study.memory_estimate import memory_warnings
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.schedule.cluster import SimulatedCluster, limits_sentence
from hpc_xfer.study.schedule.finishing_times import finishing_times
from hpc_xfer.study.selected.only import part_of, selected
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import terminal


@dataclass(frozen=True)
class _Cluster:
    """The site with what Slurm told, and sentences on what is assumed."""

    site: Site
    limits: Limits | None  # None: Slurm does not tell
    listed: Sequence[str]  # types of GPUs


@dataclass(frozen=True)
class _Wanted:
    """A grid with its plan: all runs, and those of --only with what they need."""

    study: Study
    plan: Plan
    whole: Plan


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    asked = _ask_slurm(load_site(args.site))
    store = cli.store_of(args.store, asked.site)
    cards = choose_cards(asked.site, args.gpu, asked.listed)
    site, notes = with_card(asked.site, cards)
    found = cli.check_each_grid(args, partial(_wanted, site=site, store=store, cards=cards))
    plans, whole = [each.plan for each in found], [each.whole for each in found]
    look = store.finished_runs()
    done = set().union(*(look.of(plan.runs) for plan in plans))
    costs = plans[0].costs
    assert costs is not None and costs.training is not None
    speed = cards.speed or costs.training
    finished = finished_times_of(plans, store, look, cards.named)
    cost = study_cost([plan.without(done) for plan in plans], speed, finished, whole)
    cluster = _simulated(args, cost, asked.limits)
    gpus = args.gpus or [cost.largest_job, 4 * cost.largest_job]
    times = finishing_times(cost, site.slurm, gpus, cluster)
    notes += [limits_sentence(cluster, site.slurm, asked.limits is not None)]
    notes += [line for each in found for line in _notes(args, each, site, done)]
    notes += cost_table.left_out(finished, cards.named)
    if done:
        notes.append(f"{len(done):,} runs are done and cost nothing more")
    notes = list(dict.fromkeys(notes))
    if args.json:
        names = [each.study.name for each in found]
        cli.say_json({**cost_table.as_json(cost, times), "studies": names, "notes": notes})
    else:
        console = terminal.console()
        console.print(cost_table.render(cost, times, notes, console.width))
    return 0


def _ask_slurm(site: Site) -> _Cluster:
    """Ask Slurm for its limits, and for what the site file leaves open; once, without patience."""
    if not is_installed():
        return _Cluster(site, None, ())
    limits, site = standing_limits(site.slurm), with_cpus(site, patience=0.0)
    if limits is None:  # nor will it tell the rest, and each question may take ten seconds
        return _Cluster(site, None, ())
    return _Cluster(with_time_limit(site, PretrainResources()), limits, gpu_types(site.slurm))


def _wanted(args: argparse.Namespace, site: Site, store: Store, cards: ChosenCards) -> _Wanted:
    study = load_in_store(args.grid, store, args.set)
    whole = make_plan_without_data(study, site, store, None if args.gpu is None else cards.named)
    plan = part_of(whole, selected(whole, args.only)) if args.only else whole
    return _Wanted(study, plan, whole)


def _notes(args: argparse.Namespace, wanted: _Wanted, site: Site, done: set[str]) -> Iterator[str]:
    study = wanted.study
    if study.changes and not args.set:
        words = shlex.join(word for change in study.changes for word in ("--set", change))
        yield f"{study.name} is estimated as it was launched last, with {words}"
    yield from (
        f"warning: {line}" for line in memory_warnings(wanted.plan.without(done), site.slurm)
    )


def _simulated(
    args: argparse.Namespace, cost: StudyCost, limits: Limits | None
) -> SimulatedCluster:
    made = SimulatedCluster(
        cost.largest_job, queue_wait=args.queue_wait, preempt_per_day=args.preempt_per_day,
        seed=args.seed,
    )  # fmt: skip
    if limits is None:
        return made
    return replace(made, array_size=limits.array, most_jobs=limits.room)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "cost",
        "Estimate what studies cost, before they are launched: GPU-hours, time on so many GPUs, "
        "disk and files, each from low to high. Several grids are one union: a run that two have "
        "counts once. No data need be there, and nothing is submitted. docs/cost.md says what the "
        "numbers rest on.",
        "python -m hpc_xfer.cost grids/size_scaling.yaml --gpus 8,64 --gpu a100",
    )
    cli.add_grid_arguments(parser, several=True)
    cli.add_only_argument(parser)
    parser.add_argument(
        "--gpus", type=_counts, metavar="N[,N...]",
        help="how many you get at once (default: those of the largest job, and four times as many)",
    )  # fmt: skip
    parser.add_argument(
        "--gpu", metavar="NAME[,NAME...]",
        help="card: a100, h100; several where jobs may get any of them (default: the site's, else "
        "those that Slurm lists)",
    )  # fmt: skip
    parser.add_argument(
        "--preempt-per-day", type=_rate, default=0.0, metavar="X",
        help="how often a job that runs all day is preempted",
    )  # fmt: skip
    parser.add_argument(
        "--queue-wait", type=_minutes, default=Range(0.0, 0.0), metavar="MIN[-MAX]",
        help="minutes that jobs wait behind those of others, each time",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the simulation's random numbers")
    parser.add_argument("--json", action="store_true", help="for scripts")
    return parser.parse_args(argv)


def _counts(text: str) -> list[int]:
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if not all(0 < number <= 1_000_000 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of GPU counts such as 8,64")
    return sorted(set(numbers))


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return value


def _minutes(text: str) -> Range:
    low, dash, high = text.partition("-")
    try:
        found = Range(60 * float(low), 60 * float(high if dash else low))
    except ValueError:
        found = Range(-1.0, -1.0)
    if not 0 <= found.low <= found.high <= 60 * 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not minutes such as 30 or 5-60")
    return found


if __name__ == "__main__":
    cli.exit_with(main)
