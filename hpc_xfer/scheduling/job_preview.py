"""Show the jobs that a launch would submit, without asking Slurm: for --dry-run, on any machine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_xfer.scheduling.job_requests import relay_request, request_of
from hpc_xfer.slurm.batch_script import shown_script
from hpc_xfer.slurm.request import Limits
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.finished_costs import finished_times_of
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.study.costs import cost_table
from hpc_xfer.study.costs.chosen_card import choose_cards
from hpc_xfer.study.costs.study_cost import StudyCost, study_cost
from hpc_xfer.study.job_arrays import JobArray, cut_into_arrays
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from hpc_xfer.system.screen.table_or_lines import TableOrLines


@dataclass(frozen=True)
class JobPreview:
    """One job or array that would be submitted."""

    name: str
    elements: int
    runs: int
    minutes: float  # time limit of an element
    after: str  # name of the job that must succeed first
    script: str

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def jobs_to_come(launched: LaunchedStudy, done: set[str]) -> list[JobPreview]:
    """List every job, parents first, then the relay."""
    todo = launched.plan.without(done)
    return [*_previews(launched, todo), *([_relay_preview(launched)] if todo.runs else [])]


def usual_arrays(launched: LaunchedStudy, todo: Plan) -> Iterator[JobArray]:
    """Arrays of the size that Slurm takes unless it is configured otherwise."""
    size = min(Limits().array, launched.site.slurm.max_array or Limits().array)
    return (part for array in cut_into_arrays(todo) for part in array.parts(size))


def _previews(launched: LaunchedStudy, todo: Plan) -> Iterator[JobPreview]:
    jobs: dict[str, str] = {}  # pre-training -> job name
    for array in usual_arrays(launched, todo):
        request = request_of(launched, array, 1)
        after = " ".join(jobs[parent.id] for parent in array.parents if parent.id in jobs)
        jobs |= dict.fromkeys((run.id for run in array.runs), request.name)
        text = shown_script(request, launched.site.slurm)
        runs = len(list(array.runs))
        yield JobPreview(request.name, request.array or 1, runs, request.minutes, after, text)


def _relay_preview(launched: LaunchedStudy) -> JobPreview:
    request = relay_request(launched, 1)
    text = shown_script(request, launched.site.slurm)
    return JobPreview(request.name, 1, 0, request.minutes, "all that can be submitted", text)


def cost_to_come(launched: LaunchedStudy, look: FinishedRuns, done: set[str]) -> StudyCost:
    """Estimate what is left to do of a study, by what finished runs on the site's card took.

    Args:
        look: that found which runs are finished.
        done: ids of those.
    """
    plan, card = launched.plan, choose_cards(launched.site, None).named
    finished = finished_times_of([plan], launched.store, look, card)
    return study_cost([plan.without(done)], finished=finished, whole=[plan])


def show(jobs: Sequence[JobPreview], cost: StudyCost, console: "Console") -> None:
    """Print a table of the jobs, a script of each kind, and what they are estimated to cost."""
    console.print(_table(jobs))
    for script in _scripts(jobs):
        terminal.say(script, lines=True)
    line = cost_table.one_line(cost)
    console.print(f"estimated cost: {line}", soft_wrap=True, highlight=False)


def _table(jobs: Sequence[JobPreview]) -> "TableOrLines":
    """A table with a row per job."""
    from hpc_xfer.system.screen.table_or_lines import TableOrLines

    names = ["job", "elements", "runs", "minutes", "after"]
    rows = []
    for job in jobs:
        after = job.after.split(".", 2)[1] if "." in job.after else job.after
        rows.append([job.name, str(job.elements), str(job.runs), f"{job.minutes:g}", after])
    return TableOrLines("jobs", names, rows, left=("job", "after"))


def _scripts(jobs: Sequence[JobPreview]) -> Iterator[str]:
    """Yield the script of one job of each kind, whole, as sbatch takes it."""
    kinds = {job.name.split(".")[0][:2]: job for job in reversed(jobs)}
    for job in reversed(kinds.values()):
        yield f"\nscript of {job.name}:\n{job.script}"
