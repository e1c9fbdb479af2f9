"""Estimate the time left of a study at the current number of jobs.

    time_left = forecast(snapshot.plan, snapshot.status)
    time_left.study, time_left.groups["digits", "5"]      # seconds; None where nothing runs

A running run reports how long it still needs. A run that has not begun counts as long as the mean
of the finished runs of its kind, else its minutes in the plan. The number of processes that run or
start is assumed to stay as it is now.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.study.plan import Plan, Run

Group = tuple[str, str]  # data set and shots
WorkKind = tuple[str, ...]  # runs of one kind take about as long, per unit


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the end; None where nothing runs."""

    study: float | None
    processes: int  # that run now
    groups: Mapping[Group, float | None]


def forecast(plan: Plan, status: Mapping[str, RunStatus]) -> TimeLeft:
    """Estimate the time left; failed runs and their descendants need none."""
    if not any(each.state in ("running", "starting") for each in status.values()):
        return TimeLeft(None, 0, {})  # nothing would be told: of a finished study least of all
    rates = _seconds_per_unit(plan, status)
    work: dict[Group, float] = defaultdict(float)  # seconds of one process
    jobs: dict[Group, set[str]] = defaultdict(set)  # that run
    total = longest = 0.0  # seconds of one process; seconds of one pre-training
    processes = 0
    for run in plan.runs:
        minutes, size = plan.needs(run)
        seconds = _seconds(run, status[run.id], rates, limit=60 * minutes)
        is_running = status[run.id].state in ("running", "starting")
        total += seconds * size
        if run.kind == "pretrain":
            longest = max(longest, seconds)
            processes += size * is_running
            continue
        group = group_of(run)
        work[group] += seconds
        if is_running:
            element = status[run.id].element
            jobs[group].add(str(element.job if element else run.id))
    processes += sum(map(len, jobs.values()))
    return TimeLeft(
        max(longest, total / processes) if processes else None,
        processes,
        {group: work[group] / len(running) for group, running in jobs.items()},
    )


def group_of(run: Run) -> Group:
    assert isinstance(run.recipe, Finetune)
    return run.recipe.dataset, str(run.recipe.shots)


def reported_seconds(beat: Mapping[str, Any]) -> float | None:
    """Return the seconds left that a running run reported, less the time since then."""
    seconds = beat.get("eta_seconds")
    return None if seconds is None else max(0.0, seconds - beat["age"])


def duration(seconds: float) -> str:
    """Write seconds for people: 90 -> 2 min, 7200 -> 2.0 h, 200000 -> 2.3 d."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"


def _seconds(run: Run, status: RunStatus, rates: Mapping[WorkKind, float], limit: float) -> float:
    """Return the seconds that a run still needs; `limit` is its time in the plan."""
    if status.state in ("done", "failed", "blocked"):
        return 0.0
    if status.state == "running" and status.progress:
        seconds = reported_seconds(status.progress)
        if seconds is not None:
            return seconds
    rate = rates.get(_kind(run))
    return limit if rate is None else rate * _units(run)


def _seconds_per_unit(plan: Plan, status: Mapping[str, RunStatus]) -> dict[WorkKind, float]:
    """Return the mean seconds per unit of the finished runs of each kind."""
    seconds: dict[WorkKind, float] = defaultdict(float)
    units: dict[WorkKind, int] = defaultdict(int)
    for run in plan.runs:
        took = status[run.id].seconds
        if took is not None:
            seconds[_kind(run)] += took
            units[_kind(run)] += _units(run)
    return {kind: seconds[kind] / units[kind] for kind in seconds}


def _kind(run: Run) -> WorkKind:
    if run.kind == "finetune":
        return (*group_of(run), str(run.spec["mode"]), str(run.spec.get("solver", "")))
    return (run.kind, str(run.spec["method"]), str(run.columns["arch"]))


def _units(run: Run) -> int:
    """Return the samples of a pre-training, 1 for a fine-tuning."""
    return int(run.spec.get("samples_seen") or 1) if run.kind == "pretrain" else 1
