"""How long a study still takes, told from what its runs took so far and from what runs now.

    left = forecast(snapshot.plan, snapshot.now)
    left.study, left.groups["digits", "5"]      # seconds; None where nothing runs

A run that is at work says itself how long it needs; one that is not begun is taken to need what
finished ones of its kind took, else the minutes of the grid; as many processes are taken to be at
work until the end as are now.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config.recipes import Finetune
from hpc_xfer.scheduling.run_states import RunStatus
from hpc_xfer.study.plan import Plan, Run

Group = tuple[str, str]  # data set and shots
WorkKind = tuple[str, ...]  # of runs that take about as long, per sample


@dataclass(frozen=True)
class TimeLeft:
    """Seconds until the end; None where nothing tells."""

    study: float | None
    processes: int  # at work now
    groups: Mapping[Group, float | None]


def forecast(plan: Plan, now: Mapping[str, RunStatus]) -> TimeLeft:
    """Runs that failed, and those behind them, are not waited for."""
    typical = _typical(plan, now)
    work: dict[Group, float] = defaultdict(float)  # seconds of one process
    jobs: dict[Group, set[str]] = defaultdict(set)  # at work
    whole = longest = 0.0
    processes = 0
    for run in plan.runs:
        each = now[run.id]
        minutes, size = plan.needs(run)
        seconds = _seconds(run, each, typical, 60 * minutes)
        whole += seconds * size
        if run.kind == "pretrain":
            longest = max(longest, seconds)
            processes += size * (each.state == "running")
            continue
        group = group_of(run)
        work[group] += seconds
        if each.state == "running":
            jobs[group].add(str(each.element.job if each.element else run.id))
    processes += sum(map(len, jobs.values()))
    return TimeLeft(
        max(longest, whole / processes) if processes else None,
        processes,
        {group: work[group] / len(at) for group, at in jobs.items()},
    )


def group_of(run: Run) -> Group:
    assert isinstance(run.recipe, Finetune)
    return run.recipe.dataset, str(run.recipe.shots)


def of_beat(beat: Mapping[str, Any]) -> float | None:
    """What a run at work says of itself, less what has passed since."""
    left = beat.get("eta_seconds")
    return None if left is None else max(0.0, left - (time.time() - beat["time"]))


def _seconds(run: Run, each: RunStatus, typical: Mapping[WorkKind, float], most: float) -> float:
    """That a run still needs; `most` is what the grid grants it."""
    if each.state in ("done", "failed", "blocked"):
        return 0.0
    left = of_beat(each.progress) if each.state == "running" and each.progress else None
    if left is not None:
        return left
    rate = typical.get(_kind(run))
    return most if rate is None else min(most, rate * _units(run))


def _typical(plan: Plan, now: Mapping[str, RunStatus]) -> dict[WorkKind, float]:
    """Mean seconds per unit of the finished runs of each kind."""
    seconds: dict[WorkKind, float] = defaultdict(float)
    units: dict[WorkKind, int] = defaultdict(int)
    for run in plan.runs:
        took = now[run.id].seconds
        if took is not None:
            seconds[_kind(run)] += took
            units[_kind(run)] += _units(run)
    return {kind: seconds[kind] / units[kind] for kind in seconds}


def _kind(run: Run) -> WorkKind:
    if run.kind == "finetune":
        return group_of(run)
    return (run.kind, str(run.spec["method"]), str(run.columns["arch"]))


def _units(run: Run) -> int:
    return int(run.spec.get("samples_seen") or 1) if run.kind == "pretrain" else 1
