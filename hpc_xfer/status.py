"""How a study stands: what is done, what runs and how fast, what waits for what, what failed.

python -m hpc_xfer.status grids/size_scaling.yaml --watch

It asks Slurm once per refresh, with one squeue for everything, and is right without accounting.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer import cli, failures, names, plan, rehearsal, situations, slurm, study
from hpc_xfer import ledger as ledgers
from hpc_xfer import site as sites
from hpc_xfer.errors import SlurmError, StudyError
from hpc_xfer.ledger import Ledger
from hpc_xfer.plan import Plan, Run
from hpc_xfer.recipes import Finetune
from hpc_xfer.situations import STATES, Situation
from hpc_xfer.slurm import Queue
from hpc_xfer.store import Store

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_WAIT_SHARE = 0.05  # of the time: above that, reading data is what holds a run up
_LOG_LINES = 15
_MANY = 5  # failures of one class that are listed by name


@dataclass(frozen=True)
class Standing:
    """One look at a study."""

    name: str
    whole: Plan
    store: Store
    ledger: Ledger
    queue: Queue | None
    silence: str  # why Slurm was not asked, or did not answer
    now: Mapping[str, Situation]
    labels: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(each.state for each in self.now.values())
        return {state: found[state] for state in STATES}

    @property
    def relay(self) -> slurm.Line | None:
        """The job that keeps the study going, if it is in the queue."""
        for submission in self.ledger.of_study(self.name):
            line = self.queue.lines.get(submission.job or "") if self.queue else None
            if submission.kind == "relay" and line and line.live:
                return line
        return None


def look(whole: Plan, store: Store, name: str) -> Standing:
    """Store, ledger and queue as they are now."""
    ledger = ledgers.read(store)
    queue, silence = _queue(ledger, name)
    if queue is None:
        now = situations.survey(whole, store, ledger, None)
    else:
        now, queue = situations.refined(whole, store, ledger, queue)
    labels = names.pretrain_labels(whole.of("pretrain"))
    return Standing(name, whole, store, ledger, queue, silence, now, labels)


def _queue(ledger: Ledger, name: str) -> tuple[Queue | None, str]:
    """The queue, an empty one where this study never went to Slurm."""
    if not ledger.submissions:
        return Queue(), ""
    try:
        return slurm.queue(), ""
    except SlurmError as error:
        return None, str(error)


# What is shown


def render(seen: Standing) -> "RenderableType":
    """Pre-trainings one by one, fine-tunings by data set and shots, then what went wrong."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_pretrain_table(seen)]
    if seen.whole.of("finetune"):
        parts.append(_finetune_table(seen))
    parts += [Text(line) for line in _sentences(seen)]
    return Group(*parts)


def _pretrain_table(seen: Standing) -> "Table":
    table = _table("pre-training", ("run", "pre-training", "state"), right=("step", "samples/s",
                   "waits", "to go"), last=("job", "node", "why"))  # fmt: skip
    for run in seen.whole.of("pretrain"):
        each = seen.now[run.id]
        job = each.place.job if each.place and each.state != "done" else ""
        node = each.line.nodes if each.line and each.state != "done" else ""
        why = each.why if each.why != "None" else ""
        row = [run.id, seen.labels[run.id], each.state, *_speed(each), job or "", node, why]
        table.add_row(*row)
    return table


def _speed(each: Situation) -> list[str]:
    """Step, samples/s, share of waiting for data, time to go; of running ones alone."""
    beat = each.progress or {}
    if each.state != "running" or "total" not in beat:
        return [""] * 4
    wait = f"{100 * beat.get('data_wait', 0):.0f}%"
    left = beat.get("eta_seconds")
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


def _finetune_table(seen: Standing) -> "Table":
    table = _table("fine-tuning", ("data set",), right=("shots", "runs", *STATES))
    groups: dict[tuple[str, str], Counter[str]] = {}
    for run in seen.whole.of("finetune"):
        assert isinstance(run.recipe, Finetune)
        key = (run.recipe.dataset, str(run.recipe.shots))
        groups.setdefault(key, Counter())[seen.now[run.id].state] += 1
    for (dataset, shots), found in groups.items():
        cells = [f"{found[state]:,}" if found[state] else "" for state in STATES]
        table.add_row(dataset, shots, f"{found.total():,}", *cells)
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


def _sentences(seen: Standing) -> list[str]:
    counts = seen.counts
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    lines = [f"{len(seen.whole.runs):,} runs: {told}"]
    lines += [f"waiting: {count:,} for {why}" for why, count in _reasons(seen).most_common(5)]
    lines += _bottlenecks(seen)
    lines += _failures(seen)
    if seen.silence:
        return [*lines, f"{seen.silence}; what runs is known from its heartbeat alone"]
    if seen.relay is not None:
        reason = f" ({seen.relay.reason})" if seen.relay.state == "PENDING" else ""
        lines.append(f"relay: job {seen.relay.job}, {seen.relay.state.lower()}{reason}")
    elif counts["missing"] + counts["lost"] and seen.ledger.of_study(seen.name):
        lines.append("no relay is in the queue: launch again to go on")
    return lines


def _reasons(seen: Standing) -> Counter[str]:
    """Slurm's reasons of what is pending; what waits in a pack that runs is no news."""
    pending = (each for each in seen.now.values() if each.state == "pending")
    return Counter(each.why for each in pending if not each.why.startswith("behind"))


def _bottlenecks(seen: Standing) -> list[str]:
    slow = [
        run
        for run in seen.whole.of("pretrain")
        if seen.now[run.id].state == "running"
        and (seen.now[run.id].progress or {}).get("data_wait", 0) > _WAIT_SHARE
    ]
    return [
        f"{seen.labels[run.id]} waits for data {100 * seen.now[run.id].progress['data_wait']:.0f}% "  # type: ignore[index]
        "of its time: more resources.pretrain.workers or faster storage would speed it up"
        for run in slow
    ]


def _failures(seen: Standing) -> list[str]:
    """Per class: how many, an example, and what helps."""
    classes: dict[str, list[str]] = {}
    for run_id, each in seen.now.items():
        if each.state in ("failed", "lost"):
            classes.setdefault(f"{each.state}: {each.why}", []).append(run_id)
    lines = []
    for kind, runs in sorted(classes.items()):
        first = seen.now[runs[0]]
        more = f" and {len(runs) - _MANY:,} more" if len(runs) > _MANY else ""
        help_ = failures.CLASSES.get(first.why, "")
        lines.append(f"{kind}: {len(runs):,} ({help_})" if help_ else f"{kind}: {len(runs):,}")
        lines.append(f"  {first.message}")
        lines.append(f"  {' '.join(runs[:_MANY])}{more}; --why RUN tells more")
    return lines


def why(seen: Standing, run: Run) -> list[str]:
    """Everything that helps to see why a run is where it is."""
    each = seen.now[run.id]
    folder = seen.store.run(run.id)
    lines = [
        f"{run.id}  {names.title(run, seen.labels)}",
        f"state: {each.state} {each.why}".rstrip(),
    ]
    if each.message:
        lines.append(f"message: {each.message}")
    if each.why in failures.CLASSES:
        lines.append(f"meaning: {failures.CLASSES[each.why]}")
    error = each.error or failures.read(folder) or {}
    job = (each.place.job if each.place else None) or error.get("job")
    node = error.get("node") or (each.line.nodes if each.line else "")
    lines += [f"job: {job}"] if job else []
    lines += [f"node: {node}"] if node else []
    lines.append(f"folder: {folder.path}")
    if job and each.place:
        log = slurm.log(seen.store.study(each.place.submission.study).logs, job)
        lines.append(f"log: {log}")
    if past := error.get("history"):
        lines.append(
            f"failed {len(past)} times: " + ", ".join(f"{p['class']} on {p['node']}" for p in past)
        )
    if error.get("traceback"):
        lines += ["last lines:", *(f"  {line}" for line in error["traceback"])]
    elif job and each.place and log.exists():
        lines += ["last lines of the log:", *(f"  {line}" for line in _tail(log))]
    return lines


def _tail(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-_LOG_LINES:]


def of_job(seen: Standing, job: str) -> list[str]:
    """From a line of squeue to its runs.

    Raises:
        StudyError: no job of this study.
    """
    known = seen.queue.lines if seen.queue else {}
    job = next((line.job for line in known.values() if line.raw == job and "_" in line.job), job)
    for submission in seen.ledger.submissions.values():
        if submission.job is not None and job.split("_")[0] == submission.job:
            return _of_submission(seen, submission, job)
    raise StudyError(f"job {job}: is none of this store's; see squeue --me")


def _of_submission(seen: Standing, submission: ledgers.Submission, job: str) -> list[str]:
    lines = [f"{job}  {submission.name}"]
    if submission.kind == "relay":
        lines.append(f"keeps study {submission.study} going")
    line = seen.queue.lines.get(job) if seen.queue else None
    if line is not None:
        lines.append(f"Slurm: {line.state} {line.reason} {line.nodes}".rstrip())
    for index, pack in enumerate(seen.ledger.packs(submission)):
        if job not in (submission.job, f"{submission.job}_{index}"):
            continue
        for run_id in pack:
            run = seen.whole.by_id.get(run_id)
            what = names.title(run, seen.labels) if run else f"of study {submission.study}"
            state = seen.now[run_id].state if run else ""
            lines.append(f"  {run_id}  {state:<8}{what}")
    log = slurm.log(seen.store.study(submission.study).logs, job)
    return [*lines, f"log: {log}"]


def as_json(seen: Standing) -> dict[str, Any]:
    """For scripts: every run by its id."""
    return {
        "schema": 1,
        "study": seen.name,
        "counts": seen.counts,
        "slurm": seen.silence or "answers",
        "relay": seen.relay.job if seen.relay else None,
        "runs": {run_id: _one(each) for run_id, each in seen.now.items()},
    }


def _one(each: Situation) -> dict[str, Any]:
    told: dict[str, Any] = {"state": each.state, "why": each.why, "message": each.message}
    told["job"] = each.place.job if each.place else None
    told["node"] = each.line.nodes if each.line else None
    told["progress"] = dict(each.progress) if each.progress else None
    return {key: value for key, value in told.items() if value}


# The command


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    asked = study.load(args.grid)
    store = cli.store_of(args.store, sites.load(args.site))
    if args.rehearsal:
        newest = rehearsal.newest(store)
        if newest is None:
            raise StudyError(f"{store.root}: no rehearsal beside it; launch with --rehearse")
        asked, store = rehearsal.of(asked), newest
    whole = plan.make(asked)
    if args.watch:
        return _watch(whole, store, asked.name, args.every)
    seen = look(whole, store, asked.name)
    if args.why:
        return _print(why(seen, _run(whole, args.why)))
    if args.job:
        return _print(of_job(seen, args.job))
    if args.json:
        print(json.dumps(as_json(seen), indent=2))
    else:
        cli.console().print(render(seen))
    return 1 if seen.counts["failed"] else 0


def _print(lines: Sequence[str]) -> int:
    print("\n".join(lines))
    return 0


def _run(whole: Plan, start: str) -> Run:
    found = [run for run in whole.runs if run.id.startswith(start)]
    if len(found) != 1:
        count = "no run" if not found else f"{len(found)} runs"
        raise StudyError(f"--why {start}: {count} of this study begin so; see runs.csv for the ids")
    return found[0]


def _watch(whole: Plan, store: Store, name: str, every: float) -> int:
    """Refreshed until nothing is left to wait for, or Ctrl-C."""
    from rich.live import Live

    with Live(console=cli.console(), auto_refresh=False) as live:
        while True:
            seen = look(whole, store, name)
            live.update(render(seen), refresh=True)
            if not any(each.live for each in seen.now.values()) and seen.relay is None:
                return 1 if seen.counts["failed"] else 0
            time.sleep(every)  # politely: each look is a question to Slurm


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "status",
        "Show how a study stands: done, running (with speed), pending (with Slurm's reason), "
        "blocked, failed (by class), lost, missing.",
        "python -m hpc_xfer.status grids/size_scaling.yaml --watch",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="until all is over, or Ctrl-C")
    parser.add_argument(
        "--every", type=float, default=10, metavar="SECONDS", help="with --watch (default: 10)"
    )
    parser.add_argument(
        "--why", metavar="RUN", help="all about one run; the start of its id is enough"
    )
    parser.add_argument(
        "--job", metavar="ID", help="the runs of a job of squeue, as 1234 or 1234_5"
    )
    parser.add_argument("--rehearsal", action="store_true", help="of the last rehearsal")
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    if args.every < 1:
        parser.error(f"--every must be 1 or more, got {args.every:g}")
    return args


if __name__ == "__main__":
    cli.exit_with(main)
