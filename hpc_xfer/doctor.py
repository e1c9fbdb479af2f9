"""Is the cluster ready for this study? One job per kind of resource looks around; a verdict a line.

python -m hpc_xfer.doctor grids/size_scaling.yaml --site site.yaml

Nothing of the study runs. Each line says what was looked at, whether it is well, and what to do.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer import batches, cli, files, overview, plan, preflight, provenance, slurm, study
from hpc_xfer import site as sites
from hpc_xfer.errors import SlurmError
from hpc_xfer.layout import layout
from hpc_xfer.orders import Order, command_of, relay_request, request_of
from hpc_xfer.slurm import Request

if TYPE_CHECKING:
    from rich.console import RenderableType

_MINUTES = 10.0  # that a check may last once it runs
_POLL_SECONDS = 2.0
_SLOW = 1.0  # GB/s of an all-reduce; below, gradients hold up every step of a large model
_PACKAGES_APART = ("torch", "open_clip_torch", "numpy", "python")


@dataclass(frozen=True)
class Verdict:
    """One line of the answer."""

    what: str
    well: bool
    found: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class _Check:
    """A job that looks around with the resources of one kind of run."""

    kind: str
    real: Request  # the longest job of that kind
    request: Request
    out: Path


def examine(order: Order, minutes: float) -> Iterator[Verdict]:
    """Verdicts as they come: what Slurm says at once, then what the jobs find.

    Raises:
        SlurmError: Slurm does not answer.
    """
    yield from _limits(order)
    yield _disk(order)
    checks = list(_checks(order))
    accepted = []
    for check in checks:
        words = slurm.verdict(check.real, order.site.slurm)
        yield _accepted(check.kind, check.real, words)
        if words is None:
            accepted.append(check)
    relay = relay_request(order, 1)
    yield _accepted("relay", relay, slurm.verdict(relay, order.site.slurm))
    yield from _on_nodes(order, accepted, minutes)


def _limits(order: Order) -> Iterator[Verdict]:
    limits = slurm.limits(order.site.slurm, slurm.queue())
    room = "no limit known" if limits.room is None else f"{limits.room:,} more fit"
    yield Verdict(
        "queue", limits.room is None or limits.room > 1,
        f"arrays of up to {limits.array:,} elements; {room}",
        "wait until jobs of yours have ended; the relay submits what does not fit at once",
    )  # fmt: skip
    if not order.site.slurm.jobs_may_submit:
        yield Verdict("relay", True, "jobs may not submit jobs: launch again for what is left")


def _disk(order: Order) -> Verdict:
    order.store.open()
    need = overview.disk_bytes(order.whole.without(order.store.done(order.whole)))
    free = shutil.disk_usage(order.store.root).free
    found = f"{overview.size(free)} free"
    if need is not None:
        found += f", {overview.size(need)} needed"
    well = need is None or free > need
    return Verdict("disk of the store", well, found, "free space, or choose another --store")


def _checks(order: Order) -> Iterator[_Check]:
    folder = order.store.study(order.asked.name)
    now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for number, (kind, real) in enumerate(_longest(order).items(), 1):
        out = folder.doctor / f"{kind}-{now}.json"
        more = ["--grid", str(order.asked.path.resolve()), "--out", str(out.resolve())]
        yield _Check(
            kind,
            real,
            Request(
                name=f"check.{kind}.{order.asked.name}.{order.store.tag}.{number}",
                command=command_of(order, "tasks.checkup", *more),
                logs=folder.logs,
                minutes=min(_MINUTES, real.minutes),
                tasks=real.tasks,
            ),
            out,
        )


def _longest(order: Order) -> dict[str, Request]:
    """Per kind of run the job that asks for most: what Slurm takes of it, it takes of all."""
    found: dict[str, Request] = {}
    for batch in batches.cut(order.whole):
        request = replace(request_of(order, batch, 1), array=None)
        before = found.get(batch.kind)
        if before is None or _size(request) > _size(before):
            found[batch.kind] = request
    return found


def _size(request: Request) -> tuple[int, float]:
    return request.tasks, request.minutes


def _accepted(kind: str, request: Request, words: str | None) -> Verdict:
    size = f"{request.tasks} process{'es' if request.tasks > 1 else ''}"
    told = f"{size} for {request.minutes:g} min accepted"
    return Verdict(
        f"{kind} jobs", words is None, told if words is None else words,
        "correct partition, account, qos, GPUs, memory or time in the site file",
    )  # fmt: skip


def _on_nodes(order: Order, checks: Sequence[_Check], minutes: float) -> Iterator[Verdict]:
    """Submit the checks, wait for what they write, and judge it; nothing stays in the queue."""
    waiting: dict[str, _Check] = {}
    try:
        for check in checks:
            check.out.parent.mkdir(parents=True, exist_ok=True)
            waiting[slurm.submit(check.request, order.site.slurm)] = check
        end = time.monotonic() + 60 * minutes
        while waiting and time.monotonic() < end:
            lines = slurm.queue().lines
            for job, check in list(waiting.items()):
                line = lines.get(job)
                if line is not None and line.live:
                    continue
                found = files.read_json(check.out)
                if found is None:
                    yield _died(order, check, job)
                else:
                    yield from _judged(order, check, found)
                del waiting[job]
            if waiting:
                time.sleep(_POLL_SECONDS)  # each look is a question to Slurm
        lines = slurm.queue().lines
        for job, check in waiting.items():
            reason = lines[job].reason if job in lines else "unknown"
            advice = "try again later, or with a longer --wait; see squeue --start"
            waited = f"did not begin within {minutes:g} min ({reason})"
            yield Verdict(f"{check.kind} node", False, waited, advice)
    finally:
        slurm.cancel(list(waiting))


def _died(order: Order, check: _Check, job: str) -> Verdict:
    log = slurm.log(order.store.study(order.asked.name).logs, job)
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = text.strip().splitlines()
    said = next((line for line in reversed(lines) if "rror" in line and "srun" not in line), "")
    return Verdict(
        f"{check.kind} node", False, f"the check ended without a result: {said or 'no output'}",
        f"see {log}; the site's `setup` lines prepare the environment of jobs",
    )  # fmt: skip


def _judged(order: Order, check: _Check, found: dict[str, Any]) -> Iterator[Verdict]:
    kind, node = check.kind, found["node"] or found["host"]
    yield _environment(f"{kind} environment", found, node)
    yield from _gpus(order, check, found)
    for what, complaint in found["data"].items():
        advice = "make it readable from compute nodes, or correct the site file"
        yield Verdict(f"{kind}: {what}", not complaint, complaint or "opens there", advice)
    yield _temporary(order, f"{kind} TMPDIR", found)
    speed = found["all_reduce_gigabytes_per_second"]
    if speed is not None:
        yield Verdict(
            f"{kind} all-reduce", speed > _SLOW or not found["gpus"],
            f"{found['ranks']} ranks, {speed:.2f} GB/s each",
            "slow for GPUs: set NCCL_SOCKET_IFNAME or NCCL_IB_HCA in the site's `environment`",
        )  # fmt: skip


def _temporary(order: Order, what: str, found: dict[str, Any]) -> Verdict:
    """Slurm replaces a TMPDIR that is not there."""
    asked, there, free = order.site.slurm.scratch, found["temporary"], found["temporary_free"]
    if asked and "$" not in asked and asked != there:
        told, well = f"{asked} is not there; Slurm set it to {there}", False
    elif free is None:
        told, well = f"{there} is not there", False
    else:
        told, well = f"{there}: {overview.size(free)} free", True
    return Verdict(what, well, told, "correct `scratch` in the site file")


def _environment(what: str, found: dict[str, Any], node: str) -> Verdict:
    """The same packages and the same code as here."""
    here = {"packages": provenance.packages(), "code": provenance.code()}
    apart = [
        f"{name} {found['packages'].get(name)} there, {here['packages'].get(name)} here"
        for name in _PACKAGES_APART
        if found["packages"].get(name) != here["packages"].get(name)
    ]
    if found["code"] != here["code"]:
        apart.append("another version of hpc_xfer")
    return Verdict(
        what, not apart, f"{node}: " + ("; ".join(apart) or "as on this machine"),
        "use one environment on a shared file system; see `setup` in the site file",
    )  # fmt: skip


def _gpus(order: Order, check: _Check, found: dict[str, Any]) -> Iterator[Verdict]:
    if order.site.slurm.gpu_option == "none":
        return
    names = found["gpus"]
    _, each = layout(check.request.tasks, order.site.slurm.gpus_per_node)
    enough = len(names) >= (1 if order.site.slurm.gpu_option == "gpus-per-task" else each)
    told = f"{len(names)} visible to a process" + (f": {names[0]}" if names else "")
    advice = "choose another `gpu_option` in the site file, or a torch that fits the driver"
    yield Verdict(f"{check.kind} GPUs", enough, told, advice)


def render(verdicts: Sequence[Verdict]) -> "RenderableType":
    """A table, and what to do about what is not well."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "what", "found"):
        table.add_column(name)
    for each in verdicts:
        mark = Text("ok", style="green") if each.well else Text("BAD", style="bold red")
        table.add_row(mark, each.what, Text(each.found))
    bad = [each for each in verdicts if not each.well]
    told = [Text(f"{each.what}: {each.advice}") for each in bad]
    last = "ready to launch" if not bad else f"{len(bad)} of {len(verdicts)} are not well:"
    return Group(table, Text(last, style="bold"), *told)


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    site_file = sites.find(args.site)
    site = sites.load(args.site)
    asked = study.load(args.grid)
    preflight.check(asked, site, "slurm")
    if not slurm.is_here():
        raise SlurmError("sbatch is not on PATH: this is no login node of a Slurm cluster")
    store = cli.store_of(args.store, site)
    order = Order(asked, plan.make(asked), store, site, site_file and site_file.resolve())
    verdicts = []
    for verdict in examine(order, args.wait):
        verdicts.append(verdict)
        if not args.json:
            print(f"{'ok ' if verdict.well else 'BAD'} {verdict.what}", file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps({"schema": 1, "verdicts": [v.as_json() for v in verdicts]}, indent=2))
    else:
        cli.console().print(render(verdicts))
    return 0 if all(verdict.well for verdict in verdicts) else 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "doctor",
        "Submit one short job per kind of resource and tell whether the cluster is ready: limits, "
        "disk, acceptance by Slurm, environment, GPUs, data, all-reduce.",
        "python -m hpc_xfer.doctor grids/size_scaling.yaml --site site.yaml",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument(
        "--wait", type=float, default=15, metavar="MINUTES", help="for the jobs (default: 15)"
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.exit_with(main)
