"""What would be handed to Slurm, without asking it: for --dry-run, on any machine."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hpc_xfer
from hpc_xfer.scheduling.job_requests import relay_request, request_of
from hpc_xfer.slurm.batch_script import sbatch_flags, script_text
from hpc_xfer.slurm.request import Limits
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study import job_arrays
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Plan

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class JobPreview:
    """One call of sbatch to come."""

    name: str
    elements: int
    runs: int
    minutes: float  # of its longest element
    after: str  # name of the job that must have succeeded
    script: str

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def jobs_to_come(launched: LaunchedStudy, done: set[str]) -> list[JobPreview]:
    """Every job, parents first, then the relay."""
    todo = launched.plan.without(done)
    return [*_of(launched, todo), *([_relay(launched)] if todo.runs else [])]


def _of(launched: LaunchedStudy, todo: Plan) -> Iterator[JobPreview]:
    known: dict[str, str] = {}  # pre-training -> job name
    for batch in _batches(launched, todo):
        request = request_of(launched, batch, 1)
        if batch.kind == "pretrain":
            known[batch.packs[0].runs[0].id] = request.name
        after = _after(batch, known)
        text = script_text(request, launched.site.slurm)
        runs = len(list(batch.runs))
        yield JobPreview(request.name, request.array or 1, runs, request.minutes, after, text)


def _batches(launched: LaunchedStudy, todo: Plan) -> Iterator[JobArray]:
    """As large as arrays usually may be."""
    size = min(Limits().array, launched.site.slurm.max_array or Limits().array)
    return (part for each in job_arrays.cut_into_arrays(todo) for part in each.parts(size))


def _after(batch: JobArray, known: dict[str, str]) -> str:
    return " ".join(known[parent.id] for parent in batch.parents if parent.id in known)


def _relay(launched: LaunchedStudy) -> JobPreview:
    request = relay_request(launched, 1)
    text = script_text(request, launched.site.slurm)
    return JobPreview(request.name, 1, 0, request.minutes, "all that can be submitted", text)


def by_hand(launched: LaunchedStudy, done: set[str]) -> Iterator[str]:
    """Lines of a shell script that submits sbatch/*.sbatch; writes the batches that they name."""
    scripts = Path(hpc_xfer.__file__).parent.parent / "sbatch"
    places = {"STORE": str(launched.store.root.resolve()), "STUDY": launched.study.name}
    places |= {"PYTHON": sys.executable, "GRID": str(launched.study.path.resolve())}
    places |= {"SITE": str(launched.site_file)} if launched.site_file else {}
    yield "export " + " ".join(f"{name}={shlex.quote(to)}" for name, to in places.items())
    # In a federation sbatch adds the name of the cluster, which no dependency takes.
    yield 'submit() { local job && job=$(sbatch --parsable "$@") && echo "${job%%;*}"; }'
    known: dict[str, str] = {}
    for batch in _batches(launched, launched.plan.without(done)):
        resources = launched.study.resources.of(batch.kind)
        launched.store.write_manifest(launched.study.name, batch, resources.model_dump(mode="json"))
        request = request_of(launched, batch, 1)
        options = sbatch_flags(request, launched.site.slurm)
        if batch.kind == "pretrain":
            script, found = "pretrain.sbatch", f"pre_{len(known) + 1}"
            known[batch.packs[0].runs[0].id] = found
        else:
            options.append(f"--array=0-{len(batch.packs) - 1}")
            after = [known[parent.id] for parent in batch.parents if parent.id in known]
            options += [f"--dependency=afterok:${job}" for job in after]
            options += ["--kill-on-invalid-dep=yes"] if after else []
            script, found = "finetune_array.sbatch", "tune"
        path = shlex.quote(str(scripts / script))
        yield f"{found}=$(BATCH={batch.id} submit {' '.join(options)} {path})"
        yield f"jobs+=:${found}"
    path = shlex.quote(str(scripts / "collect.sbatch"))
    yield f"sbatch ${{jobs:+--dependency=afterany$jobs}} {path}"


def render(jobs: Sequence[JobPreview]) -> "RenderableType":
    """A row per job, and one script of each kind in full."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title="jobs", box=None, pad_edge=False, title_justify="left",
                  padding=(0, 2, 0, 0), title_style="bold", header_style="bold")  # fmt: skip
    for name in ("job", "elements", "runs", "minutes", "after"):
        table.add_column(name, justify="left" if name in ("job", "after") else "right")
    for job in jobs:
        after = job.after.split(".", 2)[1] if "." in job.after else job.after
        table.add_row(job.name, str(job.elements), str(job.runs), f"{job.minutes:g}", after)
    kinds = {job.name.split(".")[0][:2]: job for job in reversed(jobs)}
    texts = [Text(f"\nscript of {job.name}:\n{job.script}") for job in reversed(kinds.values())]
    return Group(table, *texts)
