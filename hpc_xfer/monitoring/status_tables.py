"""Draw the state of a study: a table per stage, then sentences on what waits and what failed."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpc_xfer.monitoring import eta
from hpc_xfer.monitoring.eta import TimeLeft
from hpc_xfer.monitoring.study_state import StudyState
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


def render(study: StudyState) -> "RenderableType":
    """Draw pre-trainings, fine-tunings by data set and shots, running ones, and problems."""
    from rich.console import Group
    from rich.text import Text

    time_left = eta.forecast(study.plan, study.status)
    parts: list[RenderableType] = []
    if study.plan.of("pretrain"):  # a study of imported results alone has none
        parts.append(_pretrain_table(study))
    if study.plan.of("finetune"):
        parts.append(_finetune_table(study, time_left))
    if running := _running(study, "finetune"):
        parts.append(_running_table(study, running))
    parts += [Text(line) for line in _sentences(study, time_left)]
    return Group(*parts)


def _running(study: StudyState, kind: RunKind) -> list[Run]:
    return [run for run in study.plan.of(kind) if study.status[run.id].state == "running"]


def _pretrain_table(study: StudyState) -> "Table":
    table = _table("pre-training", ("run", "pre-training", "state"), right=("step", "samples/s",
                   "waits", "to go"), last=("job", "node", "why"))  # fmt: skip
    for run in study.plan.of("pretrain"):
        status = study.status[run.id]
        job = status.element.job if status.element and status.state != "done" else ""
        node = status.line.nodes if status.line and status.state != "done" else ""
        why = status.why if status.why != "None" else ""
        row = [run.id, study.labels[run.id], status.state, *_speed(status), job or "", node, why]
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


def _finetune_table(study: StudyState, time_left: TimeLeft) -> "Table":
    table = _table("fine-tuning", ("data set",), right=("shots", "runs", *STATES, "to go"))
    groups: dict[eta.Group, Counter[str]] = {}
    for run in study.plan.of("finetune"):
        group = eta.group_of(run)
        groups.setdefault(group, Counter())[study.status[run.id].state] += 1
    for group, counts in groups.items():
        cells = [f"{counts[state]:,}" if counts[state] else "" for state in STATES]
        seconds = time_left.groups.get(group)
        to_go = "" if seconds is None else duration(seconds)
        table.add_row(*group, f"{counts.total():,}", *cells, to_go)
    return table


def _running_table(study: StudyState, runs: Sequence[Run]) -> "Table":
    some = f", {_LISTED} of {len(runs):,}" if len(runs) > _LISTED else ""
    right = ("step", "samples/s", "to go")
    table = _table(f"running{some}", ("run", "fine-tuning"), right, last=("job", "node"))
    table.columns[1].no_wrap = False  # titles are long
    for run in runs[:_LISTED]:
        status = study.status[run.id]
        job = (status.element.job if status.element else None) or status.why
        node = status.line.nodes if status.line else ""
        step, speed, _, to_go = _speed(status)
        table.add_row(run.id, run_title(run, study.labels), step, speed, to_go, job, node)
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


def _sentences(study: StudyState, time_left: TimeLeft) -> list[str]:
    counts = study.counts
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    lines = [f"{len(study.plan.runs):,} runs{states and ': '}{states}"]
    if time_left.study:
        many = time_left.processes
        processes = "one process" if many == 1 else f"{many:,} processes"
        lines.append(f"about {duration(time_left.study)} to go with {processes}, as now")
    lines += [f"waiting: {count:,} for {why}" for why, count in _reasons(study).most_common(5)]
    lines += _bottlenecks(study)
    lines += _failures(study)
    if study.slurm_error:
        return [*lines, f"{study.slurm_error}; only heartbeats show what runs"]
    if study.relay is not None:
        reason = f" ({study.relay.reason})" if study.relay.state == "PENDING" else ""
        lines.append(f"relay: job {study.relay.job}, {study.relay.state.lower()}{reason}")
    elif study.ledger.submissions_of(study.name) and any(
        counts[state] for state in ("running", "pending", "lost", "missing")
    ):
        lines.append("no relay is in the queue: launch again to go on")
    elif (report := study.store.study(study.name).report).exists():
        lines.append(f"report: {report}")
    return lines


def _reasons(study: StudyState) -> Counter[str]:
    """Count Slurm's reasons of pending runs, without those that wait in a pack that runs."""
    pending = (status for status in study.status.values() if status.state == "pending")
    reasons = (status.why for status in pending if not status.why.startswith("behind"))
    return Counter("a node, any moment now" if why in ("", "None") else why for why in reasons)


def _bottlenecks(study: StudyState) -> list[str]:
    shares = {
        run.id: (study.status[run.id].progress or {}).get("data_wait", 0.0)
        for run in _running(study, "pretrain")
    }
    return [
        f"{study.labels[run_id]} waits for data {100 * share:.0f}% of its time: more "
        "resources.pretrain.workers or faster storage would speed it up"
        for run_id, share in shares.items()
        if share > _WAIT_SHARE
    ]


def _failures(study: StudyState) -> list[str]:
    """Return for each class of failure: how many, its meaning, and an example."""
    classes: dict[str, list[str]] = {}
    for run_id, status in study.status.items():
        if status.state in ("failed", "lost"):
            classes.setdefault(f"{status.state}: {status.why}", []).append(run_id)
    lines = []
    for kind, runs in sorted(classes.items()):
        first = study.status[runs[0]]
        more = f" and {len(runs) - _MANY:,} more" if len(runs) > _MANY else ""
        meaning = retry_policy.rule_of(first.why).meaning
        lines.append(f"{kind}: {len(runs):,}" + (f" ({meaning})" if meaning else ""))
        lines.append(f"  {first.message}")
        lines.append(f"  {' '.join(runs[:_MANY])}{more}; more with --why RUN")
    return lines
