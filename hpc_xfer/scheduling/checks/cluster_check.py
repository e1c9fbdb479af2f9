"""Check a cluster before a study: limits, disk, and one short job per kind of resource."""

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpc_xfer.config.site import Slurm
from hpc_xfer.scheduling.checks.check_result import CheckResult
from hpc_xfer.scheduling.checks.node_verdicts import judged
from hpc_xfer.scheduling.job_requests import command_of, relay_request, request_of
from hpc_xfer.slurm.batch_script import log_path, sbatch_parameters
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.control import cancel_jobs
from hpc_xfer.slurm.limits import submit_limits
from hpc_xfer.slurm.nodes.node_limits import NONE_IS_UP
from hpc_xfer.slurm.parsing import QueueLine
from hpc_xfer.slurm.queue import current_queue, current_user
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import refusal_of, submit_job
from hpc_xfer.slurm.submitted import known_jobs
from hpc_xfer.store.access.logs import last_lines
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.study import job_arrays, plan_summary
from hpc_xfer.system import atomic_files, terminal
from hpc_xfer.system.terminal import counted
from hpc_xfer.system.written_path import absolute

_MINUTES = 10.0  # time limit of a check
_POLL_SECONDS = 2.0
_LOG_LINES = 1000


@dataclass(frozen=True)
class _Check:
    """A job that checks its node, with the resources of one kind of run."""

    kind: str
    real: Request  # the largest job of that kind
    request: Request
    out: Path


def examine(launched: LaunchedStudy, minutes: float) -> Iterator[CheckResult]:
    """Yield results as they come: first of Slurm's limits, then of the check jobs.

    Raises:
        SlurmError: Slurm does not answer.
    """
    yield from _limits(launched)
    yield _disk(launched)
    checks = list(_checks(launched))
    accepted = []
    for check in checks:
        refusal = refusal_of(check.real, launched.site.slurm)
        yield _accepted(check.kind, check.real, refusal, launched.site.slurm)
        if refusal is None:
            accepted.append(check)
    relay = relay_request(launched, 1)
    yield _accepted("relay", relay, refusal_of(relay, launched.site.slurm), launched.site.slurm)
    yield from _on_nodes(launched, accepted, minutes)


def _limits(launched: LaunchedStudy) -> Iterator[CheckResult]:
    slurm = launched.site.slurm
    limits = submit_limits(slurm, current_queue(cluster_of(slurm)))
    room = "no limit known" if limits.room is None else f"room for {limits.room:,} more"
    yield CheckResult(
        "queue", limits.room is None or limits.room > 1,
        f"arrays of up to {limits.array:,} elements; {room}",
        "wait until some of your jobs have ended; the relay submits what does not fit now",
    )  # fmt: skip
    if not launched.site.slurm.jobs_may_submit:
        yield CheckResult("relay", True, "jobs may not submit jobs: launch again for what is left")


def _disk(launched: LaunchedStudy) -> CheckResult:
    launched.store.open(launched.study.name)
    take_snapshot(launched.store)
    todo = launched.plan.without(launched.store.done(launched.plan))
    need, cache = plan_summary.disk_bytes(todo), plan_summary.cache_bytes(todo)
    free = shutil.disk_usage(launched.store.root).free
    found = f"{terminal.size(free)} free"
    if need is not None:
        found += f", {terminal.size(need)} needed"
    if need is not None and free < need + cache:  # runs go on without one that does not fit
        found += f" beside {terminal.size(cache)} of cache, without which runs take longer"
    well = need is None or free > need
    return CheckResult("disk of the store", well, found, "free space, or choose another --store")


def _checks(launched: LaunchedStudy) -> Iterator[_Check]:
    folder = launched.store.study(launched.study.name)
    site_variables.write(launched.store, launched.study.name, launched.site.variables)
    now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for number, (kind, real) in enumerate(_largest(launched).items(), 1):
        out = folder.doctor / f"{kind}-{now}.json"
        more = ["--grid", str(absolute(launched.study.path)), "--out", str(absolute(out))]
        more += [word for change in launched.study.changes for word in ("--set", change)]
        yield _Check(
            kind,
            real,
            Request(
                name=f"check.{kind}.{launched.study.name}.{launched.store.tag}-{now}.{number}",
                command=command_of(launched, "compute.node_check", *more),
                logs=folder.logs,
                minutes=min(_MINUTES, real.minutes),
                tasks=real.tasks,
            ),
            out,
        )


def _largest(launched: LaunchedStudy) -> dict[str, Request]:
    """The largest job of each kind: if Slurm accepts it, it accepts all of that kind."""
    found: dict[str, Request] = {}
    for array in job_arrays.cut_into_arrays(launched.plan):
        request = replace(request_of(launched, array, 1), array=None)
        before = found.get(array.kind)
        if before is None or _size(request) > _size(before):
            found[array.kind] = request
    return found


def _size(request: Request) -> tuple[int, float]:
    return request.tasks, request.minutes


def _accepted(kind: str, request: Request, refusal: str | None, slurm: Slurm) -> CheckResult:
    minutes = sbatch_parameters(request, slurm)["time"]
    accepted = f"{counted(request.tasks, 'process', 'es')} for {minutes:,} min accepted"
    advice = "correct partition, account, qos, GPUs, memory or time in the site file"
    if refusal is not None and NONE_IS_UP in refusal:
        advice = "ask the administrators when its nodes are back, or name another partition"
    return CheckResult(
        f"{kind} jobs", refusal is None, accepted if refusal is None else refusal, advice
    )  # fmt: skip


def _on_nodes(
    launched: LaunchedStudy, checks: Sequence[_Check], minutes: float
) -> Iterator[CheckResult]:
    """Submit the checks, wait for their results and judge them; leave nothing in the queue."""
    cluster = cluster_of(launched.site.slurm)
    waiting: dict[str, _Check] = {}  # by job name, which no other job has
    jobs: dict[str, str] = {}
    try:
        for check in checks:
            atomic_files.make_folder(check.out.parent)
            jobs[check.request.name] = submit_job(check.request, launched.site.slurm)
            waiting[check.request.name] = check
        end = time.monotonic() + 60 * minutes
        while waiting and time.monotonic() < end:
            lines = _lines(waiting, cluster)
            for name, check in list(waiting.items()):
                line = lines.get(name)
                if line is not None and line.live:
                    continue
                found = atomic_files.read_json(check.out)
                if found is None:
                    yield _without_result(launched, check, line.job if line else jobs[name])
                else:
                    yield from judged(launched, check.kind, check.request.tasks, found)
                del waiting[name]
            if waiting:
                time.sleep(_POLL_SECONDS)  # Slurm does not notify us
        lines = _lines(waiting, cluster) if waiting else {}
        for name, check in waiting.items():
            reason = lines[name].reason if name in lines else "unknown"
            advice = "try again later, or with a longer --wait; see squeue --start"
            message = f"the check did not start within {minutes:g} min ({reason})"
            yield CheckResult(f"{check.kind} node", False, message, advice)
    finally:
        if waiting:
            left = _lines(waiting, cluster).values()
            cancel_jobs([line for line in left if line.live], launched.store.tag)


def _lines(names: Iterable[str], cluster: str | None) -> dict[str, QueueLine]:
    """The jobs of these names, by name; what squeue lacks is looked up with scontrol."""
    queue, me = current_queue(cluster), current_user()
    if any(not queue.named(name, me) for name in names):
        queue = queue.with_more(known_jobs(cluster))
    return {name: lines[0] for name in names if (lines := queue.named(name, me))}


def _without_result(launched: LaunchedStudy, check: _Check, job: str) -> CheckResult:
    log = log_path(launched.store.study(launched.study.name).logs, job)
    if not log.exists():
        return CheckResult(
            f"{check.kind} node", False,
            f"the check left no log: its node could not open {log.parent}",
            "mount the folder of the store on the nodes under this path, or choose another --store",
        )  # fmt: skip
    lines = last_lines(log, _LOG_LINES)
    error = next((line for line in reversed(lines) if "rror" in line and "srun" not in line), "")
    return CheckResult(
        f"{check.kind} node", False, f"the check ended without a result: {error or 'no output'}",
        f"see {log}; if something is missing on the node, add `setup` lines to the site file",
    )  # fmt: skip
