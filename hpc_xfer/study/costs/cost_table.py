"""Show what a study costs: a table of its stages, one of its finishing times, and sentences."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hpc_xfer.study.costs.finishing_times import FinishingTime
from hpc_xfer.study.costs.ranges import Range
from hpc_xfer.study.costs.stages import Stage
from hpc_xfer.study.costs.study_cost import StudyCost
from hpc_xfer.system import terminal

if TYPE_CHECKING:  # takes 40 ms, which --help and --json need not
    from rich.console import RenderableType
    from rich.table import Table

_DAY, _HOUR, _MINUTE = 86_400.0, 3600.0, 60.0


def as_json(cost: StudyCost, times: Sequence[FinishingTime]) -> dict[str, Any]:
    """The estimate for scripts: each range is [low, high]."""
    return {
        "schema": 1,
        "runs": cost.runs,
        "gpu_hours": cost.gpu_hours.as_json(),
        "disk_bytes": cost.disk.as_json(),
        "peak_disk_bytes": cost.peak_disk().as_json(),
        "files": cost.files.as_json(),
        "rests_on": cost.rests_on,
        "stages": [_stage_json(stage) for stage in cost.stages],
        "on_gpus": [_time_json(each) for each in times],
    }


def _stage_json(stage: Stage) -> dict[str, Any]:
    return {
        "stage": stage.name, "kind": stage.kind, "runs": stage.runs, "gpus_per_run": stage.gpus,
        "gpu_hours": stage.gpu_hours.as_json(), "disk_bytes": stage.disk.as_json(),
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
    cost: StudyCost, times: Sequence[FinishingTime], notes: Sequence[str]
) -> "RenderableType":
    """Make the tables and the sentences below them."""
    from rich.console import Group

    from hpc_xfer.system.screen.plain_console import line

    tables = [_stage_table(cost), *([_time_table(times)] if times else [])]
    return Group(*tables, *map(line, [*sentences(cost, times), *notes]))


def one_line(cost: StudyCost) -> str:
    """What a study costs, in one sentence; `launch --dry-run` ends with it."""
    hours = cost.gpu_hours
    return (
        f"{cost.runs:,} runs: {_numbers(hours)} GPU-hours ({cost.rests_on}), "
        f"{_disk(cost)}, {_numbers(cost.files)} files"
    )


def sentences(cost: StudyCost, times: Sequence[FinishingTime]) -> Iterator[str]:
    yield f"all: {one_line(cost)}"
    for each in times:
        pretraining = each.seconds_of("pretrain")
        first = f"; pre-training ends after {duration(pretraining)}" if pretraining else ""
        yield (
            f"on {each.gpus:,} GPUs: done after {duration(each.seconds)}{first}; "
            f"{_percent(each.share_busy)} of the GPUs work on average"
        )
    waiting = [stage.name for stage in cost.stages if stage.waits]
    if waiting:
        more = f" and {len(waiting) - 3} more" if len(waiting) > 3 else ""
        yield (
            f"CPUs may load too slowly for the GPU: {', '.join(waiting[:3])}{more}; the times "
            "include it; more cpus_per_gpu helps, or smaller images in the shards"
        )


def _stage_table(cost: StudyCost) -> "Table":
    table = _table("cost by stage")
    for name in ("stage", "runs", "GPUs", "GPU-hours", "disk", "files", "from"):
        table.add_column(name, justify="left" if name in ("stage", "from") else "right")
    for stage in cost.stages:
        disk = _bytes(stage.disk) if stage.disk_is_known else "unknown"
        measured = f"{stage.measured:,} by records" if stage.measured else "FLOPs"
        table.add_row(
            stage.name, f"{stage.runs:,}", str(stage.gpus), _numbers(stage.gpu_hours), disk,
            _numbers(stage.files), measured,
        )  # fmt: skip
    return table


def _time_table(times: Sequence[FinishingTime]) -> "Table":
    table = _table("time on so many GPUs")
    for name in ("GPUs", "pre-training done", "all done", "GPUs busy"):
        table.add_column(name, justify="right")
    for each in times:
        end = each.seconds_of("pretrain")
        table.add_row(
            f"{each.gpus:,}", duration(end) if end else "", duration(each.seconds),
            _percent(each.share_busy),
        )  # fmt: skip
    return table


def _table(title: str) -> "Table":
    from rich.table import Table

    return Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0),
        header_style="bold", title_style="bold",
    )  # fmt: skip


def _disk(cost: StudyCost) -> str:
    if not cost.disk_is_known:
        return "disk unknown (an encoder of timm)"
    return f"{_bytes(cost.disk)} of disk, {_bytes(cost.peak_disk())} at the peak"


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
    """Write with two digits that count, as no estimate has more."""
    if value >= 100:
        digits = 10 ** max(0, len(str(int(value))) - 2)
        return f"{round(value / digits) * digits:,}"
    return f"{float(f'{value:.2g}'):g}"


def _bytes(values: Range) -> str:
    low, high = (terminal.size(float(f"{value:.2g}")) for value in (values.low, values.high))
    return low if low == high else f"{low} to {high}"


def _percent(share: Range) -> str:
    low, high = (f"{100 * value:.0f}" for value in (share.low, share.high))
    return f"{low}%" if low == high else f"{low} to {high}%"
