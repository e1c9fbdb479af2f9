"""Estimate what studies cost before they are launched: GPU-hours, time, disk, files.

python -m hpc_xfer.cost grids/size_scaling.yaml --gpus 8,64 --gpu a100
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.slurm.nodes.node_cpus import with_cpus
from hpc_xfer.slurm.sbatch import is_installed
from hpc_xfer.store.finished_costs import finished_rates, make_plan_without_data
from hpc_xfer.store.launched_study import load_in_store
from hpc_xfer.study.costs import cost_table
from hpc_xfer.study.costs.chosen_card import with_card
from hpc_xfer.study.costs.ranges import Range
from hpc_xfer.study.costs.study_cost import study_cost
from hpc_xfer.study.memory_estimate import memory_warnings
from hpc_xfer.study.schedule.cluster import SimulatedCluster
from hpc_xfer.study.schedule.finishing_times import finishing_times
from hpc_xfer.system import terminal


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    site = load_site(args.site)
    site = with_cpus(site, patience=0.0) if is_installed() else site
    store = cli.store_of(args.store, site)
    site, notes = with_card(site, args.gpu)
    studies = [load_in_store(grid, store) for grid in cli.without_sites(args.grid)]
    plans = [make_plan_without_data(study, site, store) for study in studies]
    done = set().union(*map(store.done, plans)) if store.runs.exists() else set()
    costs = plans[0].costs
    assert costs is not None and costs.training is not None
    rates = finished_rates(plans, store, costs.training.card)
    cost = study_cost([plan.without(done) for plan in plans], costs.training, rates)
    largest = cost.largest_job
    gpus = args.gpus or [largest, 4 * largest]
    cluster = SimulatedCluster(
        largest, queue_wait=args.queue_wait, preempt_per_day=args.preempt_per_day, seed=args.seed
    )
    times = finishing_times(cost, site.slurm, gpus, cluster)
    notes += [f"warning: {line}" for plan in plans for line in memory_warnings(plan, site.slurm)]
    if done:
        notes.append(f"{len(done):,} runs are done and cost nothing more")
    if args.json:
        names = [study.name for study in studies]
        cli.say_json({**cost_table.as_json(cost, times), "studies": names, "notes": notes})
    else:
        console, notes = terminal.console(), list(dict.fromkeys(notes))
        console.print(cost_table.render(cost, times, notes, console.width))
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "cost",
        "Estimate what studies cost, before they are launched: GPU-hours, time on so many GPUs, "
        "disk and files, each from low to high. Several grids are one union: a run that two have "
        "counts once. No data need be there, and nothing is submitted. docs/cost.md says what the "
        "numbers rest on.",
        "python -m hpc_xfer.cost grids/size_scaling.yaml --gpus 8,64 --gpu a100",
    )
    parser.usage = (parser.usage or "").replace("[options]", "[options] GRID [GRID ...]", 1)
    parser.add_argument("grid", type=Path, nargs="+", metavar="GRID", help="study files")
    cli.add_store_arguments(parser)
    parser.add_argument(
        "--gpus", type=_counts, metavar="N[,N...]",
        help="how many you get at once (default: those of the largest job, and four times as many)",
    )  # fmt: skip
    parser.add_argument("--gpu", metavar="NAME", help="card: a100, h100 (default: the site's)")
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
    numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if not all(0 < number <= 1_000_000 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of GPU counts such as 8,64")
    return numbers


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
