"""Draw the state of a study: a table per stage, then sentences on what waits and what failed."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpc_xfer.monitoring import eta
from hpc_xfer.monitoring.eta import TimeLeft
from hpc_xfer.monitoring.snapshot import StudySnapshot
from hpc_xfer.scheduling.run_states import STATES, RunStatus
from hpc_xfer.store import retry_policy
from hpc_xfer.study.labels import run_title
from hpc_xfer.study.plan import Run, RunKind

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_WAIT_SHARE = 0.05  # of the time of a run: above it, reading data is the bottleneck
_MANY = 5  # failures of one class that are listed by name
_LISTED = 8  # running fine-tunings that are listed one by one


def render(snapshot: StudySnapshot) -> "RenderableType":
    """Draw pre-trainings, fine-tunings by data set and shots, running ones, and problems."""
    from rich.console import Group
    from rich.text import Text

    time_left = eta.forecast(snapshot.plan, snapshot.status)
    parts: list[RenderableType] = [_pretrain_table(snapshot)]
    if snapshot.plan.of("finetune"):
        parts.append(_finetune_table(snapshot, time_left))
    if running := _running(snapshot, "finetune"):
        parts.append(_running_table(snapshot, running))
    parts += [Text(line) for line in _sentences(snapshot, time_left)]
    return Group(*parts)


def _running(snapshot: StudySnapshot, kind: RunKind) -> list[Run]:
    return [run for run in snapshot.plan.of(kind) if snapshot.status[run.id].state == "running"]


def _pretrain_table(snapshot: StudySnapshot) -> "Table":
    table = _table("pre-training", ("run", "pre-training", "state"), right=("step", "samples/s",
                   "waits", "to go"), last=("job", "node", "why"))  # fmt: skip
    for run in snapshot.plan.of("pretrain"):
        status = snapshot.status[run.id]
        job = status.element.job if status.element and status.state != "done" else ""
        node = status.line.nodes if status.line and status.state != "done" else ""
        why = status.why if status.why != "None" else ""
        row = [run.id, snapshot.labels[run.id], status.state, *_speed(status), job or "", node, why]
        table.add_row(*row)
    return table


def _speed(status: RunStatus) -> list[str]:
    """Return step, samples/s, share of waiting for data and time to go of a running run."""
    beat = status.progress or {}
    if status.state != "running" or "total" not in beat:
        return [""] * 4
    wait = f"{100 * beat.get('data_wait', 0):.0f}%"
    seconds = eta.reported_seconds(beat)
    return [
        f"{beat['step']:,}/{beat['total']:,}",
        f"{beat['samples_per_second']:,.0f}",
        wait,
        "" if seconds is None else duration(seconds),
    ]


def duration(seconds: float) -> str:
    """Write seconds for people: 90 -> 2 min, 7200 -> 2.0 h, 200000 -> 2.3 d."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"


def _finetune_table(snapshot: StudySnapshot, time_left: TimeLeft) -> "Table":
    table = _table("fine-tuning", ("data set",), right=("shots", "runs", *STATES, "to go"))
    groups: dict[eta.Group, Counter[str]] = {}
    for run in snapshot.plan.of("finetune"):
        group = eta.group_of(run)
        groups.setdefault(group, Counter())[snapshot.status[run.id].state] += 1
    for group, counts in groups.items():
        cells = [f"{counts[state]:,}" if counts[state] else "" for state in STATES]
        seconds = time_left.groups.get(group)
        to_go = "" if seconds is None else duration(seconds)
        table.add_row(*group, f"{counts.total():,}", *cells, to_go)
    return table


def _running_table(snapshot: StudySnapshot, runs: Sequence[Run]) -> "Table":
    some = f", {_LISTED} of {len(runs):,}" if len(runs) > _LISTED else ""
    right = ("step", "samples/s", "to go")
    table = _table(f"running{some}", ("run", "fine-tuning"), right, last=("job", "node"))
    table.columns[1].no_wrap = False  # titles are long
    for run in runs[:_LISTED]:
        status = snapshot.status[run.id]
        job = (status.element.job if status.element else None) or status.why
        node = status.line.nodes if status.line else ""
        step, speed, _, to_go = _speed(status)
        table.add_row(run.id, run_title(run, snapshot.labels), step, speed, to_go, job, node)
    return table


def _table(
    title: str, first: Sequence[str], right: Sequence[str] = (), last: Sequence[str] = ()
) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False,
                  padding=(0, 2, 0, 0), header_style="bold", title_style="bold")  # fmt: skip
    for name in (*first, *right, *last):
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    return table


def _sentences(snapshot: StudySnapshot, time_left: TimeLeft) -> list[str]:
    counts = snapshot.counts
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    lines = [f"{len(snapshot.plan.runs):,} runs: {states}"]
    if time_left.study:
        many = time_left.processes
        processes = "one process" if many == 1 else f"{many:,} processes"
        lines.append(f"about {duration(time_left.study)} to go with {processes}, as now")
    lines += [f"waiting: {count:,} for {why}" for why, count in _reasons(snapshot).most_common(5)]
    lines += _bottlenecks(snapshot)
    lines += _failures(snapshot)
    if snapshot.slurm_error:
        return [*lines, f"{snapshot.slurm_error}; only heartbeats show what runs"]
    if snapshot.relay is not None:
        reason = f" ({snapshot.relay.reason})" if snapshot.relay.state == "PENDING" else ""
        lines.append(f"relay: job {snapshot.relay.job}, {snapshot.relay.state.lower()}{reason}")
    elif snapshot.ledger.submissions_of(snapshot.name) and any(
        counts[state] for state in ("running", "pending", "lost", "missing")
    ):
        lines.append("no relay is in the queue: launch again to go on")
    elif (report := snapshot.store.study(snapshot.name).report).exists():
        lines.append(f"report: {report}")
    return lines


def _reasons(snapshot: StudySnapshot) -> Counter[str]:
    """Count Slurm's reasons of pending runs, without those that wait in a pack that runs."""
    pending = (status for status in snapshot.status.values() if status.state == "pending")
    reasons = (status.why for status in pending if not status.why.startswith("behind"))
    return Counter("a node, any moment now" if why in ("", "None") else why for why in reasons)


def _bottlenecks(snapshot: StudySnapshot) -> list[str]:
    shares = {
        run.id: (snapshot.status[run.id].progress or {}).get("data_wait", 0.0)
        for run in _running(snapshot, "pretrain")
    }
    return [
        f"{snapshot.labels[run_id]} waits for data {100 * share:.0f}% of its time: more "
        "resources.pretrain.workers or faster storage would speed it up"
        for run_id, share in shares.items()
        if share > _WAIT_SHARE
    ]


def _failures(snapshot: StudySnapshot) -> list[str]:
    """Return for each class of failure: how many, its meaning, and an example."""
    classes: dict[str, list[str]] = {}
    for run_id, status in snapshot.status.items():
        if status.state in ("failed", "lost"):
            classes.setdefault(f"{status.state}: {status.why}", []).append(run_id)
    lines = []
    for kind, runs in sorted(classes.items()):
        first = snapshot.status[runs[0]]
        more = f" and {len(runs) - _MANY:,} more" if len(runs) > _MANY else ""
        meaning = retry_policy.rule_of(first.why).meaning
        lines.append(f"{kind}: {len(runs):,}" + (f" ({meaning})" if meaning else ""))
        lines.append(f"  {first.message}")
        lines.append(f"  {' '.join(runs[:_MANY])}{more}; more with --why RUN")
    return lines
