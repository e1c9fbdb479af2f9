"""How a study stands, drawn: a table per stage, then what waits, what failed, and what helps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hpc_xfer.monitoring import eta
from hpc_xfer.monitoring.eta import TimeLeft
from hpc_xfer.monitoring.snapshot import StudySnapshot
from hpc_xfer.scheduling.run_states import STATES, RunStatus
from hpc_xfer.store import retry_policy
from hpc_xfer.study.labels import run_title
from hpc_xfer.study.plan import Run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_WAIT_SHARE = 0.05  # of the time: above that, reading data is what holds a run up
_MANY = 5  # failures of one class that are listed by name
_AT_WORK = 8  # fine-tunings that are listed one by one


def render(snapshot: StudySnapshot) -> "RenderableType":
    """Pre-trainings, fine-tunings by data set and shots, those at work, what is wrong."""
    from rich.console import Group
    from rich.text import Text

    left = eta.forecast(snapshot.plan, snapshot.now)
    parts: list[RenderableType] = [_pretrain_table(snapshot)]
    if snapshot.plan.of("finetune"):
        parts.append(_finetune_table(snapshot, left))
    if at_work := [
        run for run in snapshot.plan.of("finetune") if snapshot.now[run.id].state == "running"
    ]:
        parts.append(_table_of_those_at_work(snapshot, at_work))
    parts += [Text(line) for line in _sentences(snapshot, left)]
    return Group(*parts)


def _pretrain_table(snapshot: StudySnapshot) -> "Table":
    table = _table("pre-training", ("run", "pre-training", "state"), right=("step", "samples/s",
                   "waits", "to go"), last=("job", "node", "why"))  # fmt: skip
    for run in snapshot.plan.of("pretrain"):
        each = snapshot.now[run.id]
        job = each.element.job if each.element and each.state != "done" else ""
        node = each.line.nodes if each.line and each.state != "done" else ""
        why = each.why if each.why != "None" else ""
        row = [run.id, snapshot.labels[run.id], each.state, *_speed(each), job or "", node, why]
        table.add_row(*row)
    return table


def _speed(each: RunStatus) -> list[str]:
    """Step, samples/s, share of waiting for data, time to go; of running ones alone."""
    beat = each.progress or {}
    if each.state != "running" or "total" not in beat:
        return [""] * 4
    wait = f"{100 * beat.get('data_wait', 0):.0f}%"
    left = eta.of_beat(beat)
    return [
        f"{beat['step']:,}/{beat['total']:,}",
        f"{beat['samples_per_second']:,.0f}",
        wait,
        "" if left is None else duration(left),
    ]


def duration(seconds: float) -> str:
    """90 -> 2 min, 7200 -> 2.0 h, 200000 -> 2.3 d."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"


def _finetune_table(snapshot: StudySnapshot, left: TimeLeft) -> "Table":
    table = _table("fine-tuning", ("data set",), right=("shots", "runs", *STATES, "to go"))
    groups: dict[eta.Group, Counter[str]] = {}
    for run in snapshot.plan.of("finetune"):
        group = eta.group_of(run)
        groups.setdefault(group, Counter())[snapshot.now[run.id].state] += 1
    for group, found in groups.items():
        cells = [f"{found[state]:,}" if found[state] else "" for state in STATES]
        seconds = left.groups.get(group)
        to_go = "" if seconds is None else duration(seconds)
        table.add_row(*group, f"{found.total():,}", *cells, to_go)
    return table


def _table_of_those_at_work(snapshot: StudySnapshot, runs: Sequence[Run]) -> "Table":
    more = f", {_AT_WORK} of {len(runs):,}" if len(runs) > _AT_WORK else ""
    right = ("step", "samples/s", "to go")
    table = _table(f"at work{more}", ("run", "fine-tuning"), right, last=("job", "node"))
    table.columns[1].no_wrap = False  # the one that is long
    for run in runs[:_AT_WORK]:
        each = snapshot.now[run.id]
        job = (each.element.job if each.element else None) or each.why
        node = each.line.nodes if each.line else ""
        step, speed, _, to_go = _speed(each)
        table.add_row(run.id, run_title(run, snapshot.labels), step, speed, to_go, job, node)
    return table


def _table(
    title: str, words: Sequence[str], right: Sequence[str] = (), last: Sequence[str] = ()
) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False,
                  padding=(0, 2, 0, 0), header_style="bold", title_style="bold")  # fmt: skip
    for name in (*words, *right, *last):
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    return table


def _sentences(snapshot: StudySnapshot, left: TimeLeft) -> list[str]:
    counts = snapshot.counts
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    lines = [f"{len(snapshot.plan.runs):,} runs: {told}"]
    if left.study:
        lines.append(f"about {duration(left.study)} to go with {_at_once(left)} at work as now")
    lines += [f"waiting: {count:,} for {why}" for why, count in _reasons(snapshot).most_common(5)]
    lines += _bottlenecks(snapshot)
    lines += _failures(snapshot)
    if snapshot.silence:
        return [*lines, f"{snapshot.silence}; what runs is known from its heartbeat alone"]
    if snapshot.relay is not None:
        reason = f" ({snapshot.relay.reason})" if snapshot.relay.state == "PENDING" else ""
        lines.append(f"relay: job {snapshot.relay.job}, {snapshot.relay.state.lower()}{reason}")
    elif counts["missing"] + counts["lost"] + _live(counts) and snapshot.ledger.submissions_of(
        snapshot.name
    ):
        lines.append("no relay is in the queue: launch again to go on")
    elif (report := snapshot.store.study(snapshot.name).report).exists():
        lines.append(f"report: {report}")
    return lines


def _live(counts: Mapping[str, int]) -> int:
    return counts["running"] + counts["pending"]


def _at_once(left: TimeLeft) -> str:
    return "one process" if left.processes == 1 else f"{left.processes:,} processes"


def _reasons(snapshot: StudySnapshot) -> Counter[str]:
    """Slurm's reasons of what is pending; what waits in a pack that runs is no news."""
    pending = (each for each in snapshot.now.values() if each.state == "pending")
    why = (each.why for each in pending if not each.why.startswith("behind"))
    return Counter("a node, any moment now" if each in ("", "None") else each for each in why)


def _bottlenecks(snapshot: StudySnapshot) -> list[str]:
    running = (
        run for run in snapshot.plan.of("pretrain") if snapshot.now[run.id].state == "running"
    )
    shares = {
        run.id: (snapshot.now[run.id].progress or {}).get("data_wait", 0.0) for run in running
    }
    return [
        f"{snapshot.labels[run_id]} waits for data {100 * share:.0f}% of its time: more "
        "resources.pretrain.workers or faster storage would speed it up"
        for run_id, share in shares.items()
        if share > _WAIT_SHARE
    ]


def _failures(snapshot: StudySnapshot) -> list[str]:
    """Per class: how many, an example, and what helps."""
    classes: dict[str, list[str]] = {}
    for run_id, each in snapshot.now.items():
        if each.state in ("failed", "lost"):
            classes.setdefault(f"{each.state}: {each.why}", []).append(run_id)
    lines = []
    for kind, runs in sorted(classes.items()):
        first = snapshot.now[runs[0]]
        more = f" and {len(runs) - _MANY:,} more" if len(runs) > _MANY else ""
        help_ = retry_policy.rule_of(first.why).meaning
        lines.append(f"{kind}: {len(runs):,} ({help_})" if help_ else f"{kind}: {len(runs):,}")
        lines.append(f"  {first.message}")
        lines.append(f"  {' '.join(runs[:_MANY])}{more}; --why RUN tells more")
    return lines
