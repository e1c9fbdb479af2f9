"""How a study stands: what is done, what runs and how fast, what waits for what, what failed.

python -m hpc_xfer.status grids/size_scaling.yaml --watch

It asks Slurm once per refresh, with one squeue for everything, and is right without accounting.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpc_xfer import cli, explain, failures, plan, rehearsal, study
from hpc_xfer import site as sites
from hpc_xfer.errors import StudyError
from hpc_xfer.plan import Plan, Run
from hpc_xfer.recipes import Finetune
from hpc_xfer.situations import STATES, Situation
from hpc_xfer.standing import Standing, look
from hpc_xfer.store import Store

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_WAIT_SHARE = 0.05  # of the time: above that, reading data is what holds a run up
_MANY = 5  # failures of one class that are listed by name


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
        job = each.element.job if each.element and each.state != "done" else ""
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
    running = (run for run in seen.whole.of("pretrain") if seen.now[run.id].state == "running")
    shares = {run.id: (seen.now[run.id].progress or {}).get("data_wait", 0.0) for run in running}
    return [
        f"{seen.labels[run_id]} waits for data {100 * share:.0f}% of its time: more "
        "resources.pretrain.workers or faster storage would speed it up"
        for run_id, share in shares.items()
        if share > _WAIT_SHARE
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
    told["job"] = each.element.job if each.element else None
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
        return _print(explain.why(seen, _run(whole, args.why)))
    if args.job:
        return _print(explain.of_job(seen, args.job))
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
