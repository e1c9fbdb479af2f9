"""Show what a study costs: a table of its stages, one of its finishing times, and sentences."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hpc_xfer.study.costs.ranges import Range, exactly
from hpc_xfer.study.costs.stages import FinishedTimes, Stage
from hpc_xfer.study.costs.study_cost import StudyCost
from hpc_xfer.study.schedule.finishing_times import FinishingTime
from hpc_xfer.system import terminal
from hpc_xfer.system.terminal import counted

if TYPE_CHECKING:  # takes 40 ms, which --help and --json need not
    from rich.console import RenderableType
    from rich.table import Table

_WIDE = 94  # columns, for all ranges
_UNITS = ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e3, 1e4, "k"))  # from where each is written
_DAY, _HOUR, _MINUTE = 86_400.0, 3600.0, 60.0


def as_json(cost: StudyCost, times: Sequence[FinishingTime] = ()) -> dict[str, Any]:
    """The estimate for scripts: each range is [low, high]; null where the disk is not known."""
    peak = cost.peak_disk(_gpus(cost, times))
    return {
        "schema": 1,
        "runs": cost.runs,
        "unit": cost.unit,
        "gpu_hours": cost.gpu_hours.as_json(),
        "disk_bytes": cost.disk.as_json() if cost.disk_is_known else None,
        "peak_disk_bytes": peak.as_json() if cost.disk_is_known else None,
        "cache_bytes": cost.cache.as_json(),
        "files": cost.files.as_json(),
        "rests_on": cost.rests_on,
        "stages": [_stage_json(stage) for stage in cost.stages],
        "on_gpus": [_time_json(each) for each in times],
    }


def _stage_json(stage: Stage) -> dict[str, Any]:
    return {
        "stage": stage.name, "kind": stage.kind, "runs": stage.runs, "gpus_per_run": stage.gpus,
        "gpu_hours": stage.gpu_hours.as_json(),
        "disk_bytes": stage.disk.as_json() if stage.disk_is_known else None,
        "files": stage.files.as_json(), "runs_by_records": stage.measured,
        "waits_for_loading": stage.waits,
    }  # fmt: skip


def _time_json(each: FinishingTime) -> dict[str, Any]:
    ends = {}
    for kind in ("pretrain", "finetune"):
        seconds = each.seconds_of(kind)
        ends[f"{kind}_seconds"] = None if seconds is None else seconds.as_json()
    return {
        "gpus": each.gpus,
        "seconds": each.seconds.as_json(),
        **ends,
        "gpu_hours": each.gpu_hours.as_json(),
        "share_busy": each.share_busy.as_json(),
        "busy_gpus": [round(busy, 2) for busy in each.high.mean_busy()],
        "preempted": [each.low.preempted, each.high.preempted],
    }  # fmt: skip


def render(
    cost: StudyCost, times: Sequence[FinishingTime], notes: Sequence[str], width: int = 100
) -> "RenderableType":
    """Make the tables and the sentences below them.

    Args:
        width: of the terminal; a narrow one gets the high ends of disk and files alone.
    """
    from rich.console import Group

    from hpc_xfer.system.screen.plain_console import line

    tables = [_stage_table(cost, width >= _WIDE)] if cost.runs else []
    tables += [_time_table(times, cost)] if cost.runs and times else []
    return Group(*tables, *map(line, [*sentences(cost, times), *notes]))


def one_line(cost: StudyCost) -> str:
    """Say in one sentence what it costs; `launch --dry-run` ends with it."""
    return f"{totals(cost)} (from {cost.rests_on})"


def _gpus(cost: StudyCost, times: Sequence[FinishingTime]) -> int:
    """The most GPUs that are asked about, else four times those of the largest job."""
    return max((each.gpus for each in times), default=4 * cost.largest_job)


def totals(cost: StudyCost, times: Sequence[FinishingTime] = ()) -> str:
    hours = f"{_numbers(cost.gpu_hours)} {cost.unit}-hours"
    disk = "disk unknown, as the weights of a timm encoder are not counted"
    if cost.disk_is_known:
        gpus = _gpus(cost, times)
        peak = f"{_bytes(cost.peak_disk(gpus))} at the peak on {counted(gpus, cost.unit)}"
        cache = f" ({_bytes(cost.cache)} of it a cache)" if cost.cache.high else ""
        disk = f"{_bytes(cost.disk)} of disk{cache}, {peak}"
    runs = f"{counted(cost.runs, 'run')} take{'s' if cost.runs == 1 else ''}"
    return f"{runs} {hours}; {disk}; {_numbers(cost.files)} files"


def sentences(cost: StudyCost, times: Sequence[FinishingTime]) -> Iterator[str]:
    """Say what it costs, how long it takes, and what the numbers rest on."""
    yield totals(cost, times)
    if not cost.runs:
        return
    if times:
        ends = (f"on {counted(each.gpus, cost.unit)} {duration(each.seconds)}" for each in times)
        yield f"from launch to report: {', '.join(ends)}"
    yield f"the numbers rest on: {cost.rests_on}"
    waiting = [stage.name for stage in cost.stages if stage.waits]
    if waiting:
        more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
        yield (
            f"CPUs may load too slowly for the GPU in {', '.join(waiting[:3])}{more}; the times "
            "include it; raise cpus_per_gpu, or make shards of smaller images"
        )


def left_out(finished: FinishedTimes, named: str | None) -> Iterator[str]:
    """Say of which finished runs the times are not used, as they ran on another device.

    Args:
        named: cards of the estimate.
    """
    kinds = {"pre-training": finished.pretrain.left_out, "fine-tuning": finished.left_out}
    for kind, by_device in kinds.items():
        for device, number in by_device.items():
            yield (
                f"{counted(number, f'finished {kind}')} on {device}: not used, as the estimate is "
                f"for {named or 'another device'}; --gpu names a card"
            )


def _stage_table(cost: StudyCost, is_wide: bool) -> "Table":
    """Make a row per stage; GPUs of a run and records are columns where there are any."""
    from hpc_xfer.system.screen.titled_table import titled_table

    table = titled_table("cost by stage")
    several = any(stage.gpus > 1 for stage in cost.stages)
    by_records = any(stage.measured for stage in cost.stages)
    table.add_column("stage", min_width=12)
    names = ["runs", *([f"{cost.unit}s"] if several else []), f"{cost.unit}-hours"]
    names += ["disk", "files"] if is_wide else ["disk to", "files to"]
    for name in [*names, *(["by records"] if by_records else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    for stage in cost.stages:
        disk, files = (
            each if is_wide else exactly(each.high) for each in (stage.disk, stage.files)
        )
        gpus, measured = [str(stage.gpus or "")], [f"{stage.measured or ''}"]
        table.add_row(
            stage.name, f"{stage.runs:,}" if stage.has_runs else "", *(gpus if several else []),
            _numbers(stage.gpu_hours) if stage.has_runs else "",
            _bytes(disk) if stage.disk_is_known else "unknown",
            _numbers(files), *(measured if by_records else []),
        )  # fmt: skip
    return table


def _time_table(times: Sequence[FinishingTime], cost: StudyCost) -> "Table":
    """Make a row per number of GPUs, with hours where preemption or time limits add some."""
    from hpc_xfer.system.screen.titled_table import titled_table

    unit, work = cost.unit, cost.gpu_hours
    adds = any(
        each.gpu_hours.low > 1.01 * work.low or each.gpu_hours.high > 1.01 * work.high
        for each in times
    )
    table = titled_table(f"time on so many {unit}s")
    names = [f"{unit}s", "pre-training done", "all done", f"{unit}s busy"]
    for name in [*names, *([f"{unit}-hours taken"] if adds else [])]:
        table.add_column(name, justify="right")
    for each in times:
        end = each.seconds_of("pretrain")
        table.add_row(
            f"{each.gpus:,}", duration(end) if end else "", duration(each.seconds),
            _percent(each.share_busy), *([_numbers(each.gpu_hours)] if adds else []),
        )  # fmt: skip
    return table


def duration(seconds: Range) -> str:
    """Write a range of time in the largest unit of its high end: `3.2 to 9.8 days`."""
    for unit, name in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if seconds.high >= 2 * unit:
            return f"{_numbers(seconds.scaled(1 / unit))} {name}"
    return f"{_numbers(seconds)} seconds"


def _numbers(values: Range) -> str:
    low, high = _number(values.low), _number(values.high)
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    """Write with two digits that count, as no estimate has more: `3.1M`, `24k`, `3,800`, `0.36`."""
    rounded = float(f"{value:.2g}")
    for unit, least, letter in _UNITS:
        if rounded >= least:
            return f"{rounded / unit:,g}{letter}"
    return f"{rounded:,g}"


def _bytes(values: Range) -> str:
    low, high = (terminal.size(float(f"{value:.2g}")) for value in (values.low, values.high))
    if low == high:
        return low
    number, unit = low.split()
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


def _percent(share: Range) -> str:
    low, high = (f"{100 * value:.0f}" for value in (share.low, share.high))
    return f"{low}%" if low == high else f"{low} to {high}%"
