"""Judge a rehearsal: which stages of a study ran through, and why one did not.

verdict = judge(plan, store, "size_scaling-rehearsal", given_up={"c0ffee12ab34": "its job ended"})
verdict.is_passed
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Pretrain
from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run
from hpc_xfer.study.selected.only import part_of, selected

if TYPE_CHECKING:
    from rich.console import Console

TABLES = ("runs.csv", "cells.csv", "averages.csv", "missing.csv")
_LONGEST = 300  # characters of a reason


@dataclass(frozen=True)
class RehearsedStage:
    """A part of a study, and how much of it ran through."""

    name: str
    passed: int
    total: int
    reason: str = ""  # of the first that did not pass
    log: str = ""
    has_failed: bool = False  # else it is incomplete where it did not pass

    @property
    def is_passed(self) -> bool:
        return 0 < self.total == self.passed

    @property
    def verdict(self) -> str:
        return "passed" if self.is_passed else "failed" if self.has_failed else "incomplete"

    def as_json(self) -> dict[str, Any]:
        told = {key: value for key, value in vars(self).items() if key != "has_failed"}
        return {**told, "is_passed": self.is_passed, "verdict": self.verdict}


@dataclass(frozen=True)
class Verdict:
    """The stages of a rehearsal, and whether all have passed."""

    stages: tuple[RehearsedStage, ...]
    left_out: int = 0  # runs of the study that --only did not select

    @property
    def is_passed(self) -> bool:
        return all(stage.is_passed for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        stages = [stage.as_json() for stage in self.stages]
        return {"passed": self.is_passed, "left_out": self.left_out, "stages": stages}

    def show(self, console: "Console") -> None:
        """Print a table of the stages, why stages failed, and whether all have passed."""
        from rich.table import Table

        table = Table(title="rehearsal", title_justify="left", box=None, pad_edge=False)
        for column in ("stage", "passed", "verdict"):
            table.add_column(column, justify="right" if column == "passed" else "left")
        for stage in self.stages:
            table.add_row(stage.name, f"{stage.passed:,} of {stage.total:,}", stage.verdict)
        console.print(table)
        failed = [stage for stage in self.stages if stage.verdict == "failed"]
        for stage in failed:
            where = f"; see {stage.log}" if stage.log else ""
            text = f"{stage.name}: {stage.reason}{where}"
            console.print(text, soft_wrap=True, highlight=False, markup=False)
        console.print(f"rehearsal {self._in_words}")

    @property
    def _in_words(self) -> str:
        left_out = ""
        if self.left_out:
            were = "1 run was" if self.left_out == 1 else f"{self.left_out:,} runs were"
            left_out = f" of the part that --only selected; {were} not rehearsed"
        if self.is_passed:
            return f"passed: all stages{left_out}"
        count = Counter(stage.verdict for stage in self.stages)
        parts = [f"{word}: {count[word]} of {len(self.stages)} stages"
                 for word in ("failed", "incomplete") if count[word]]  # fmt: skip
        return "; ".join(parts) + left_out + ("" if count["failed"] else "; launch it again")


def judge(
    plan: Plan,
    store: Store,
    study: str,
    given_up: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
) -> Verdict:
    """Judge the stages: pre-trainings by method, fine-tunings by data set and mode, results.

    Args:
        plan: of the whole study.
        only: arguments of --only; the runs that these leave out are counted, and not judged.
        given_up: runs that nobody tries again, and why; most of them left an error.json too.
    """
    whole = plan
    plan = part_of(whole, selected(whole, only)) if only else whole
    done = store.done(plan)
    groups: dict[str, list[Run]] = {}
    for run in plan.runs:
        groups.setdefault(_stage_of(run), []).append(run)
    stages = [_of_runs(name, runs, done, store, given_up or {}) for name, runs in groups.items()]
    has_figures, all_done = bool(plan.of("finetune")), len(done) == len(plan.runs)
    results = _of_results(store, study, has_figures, all_done)
    return Verdict((*stages, *results), len(whole.runs) - len(plan.runs))


def judged(
    plan: Plan,
    store: Store,
    study: str,
    console: "Console | None",
    given_up: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
) -> tuple[int, dict[str, Any]]:
    """Judge a rehearsal, print the verdict, and return the exit code and the content of --json.

    Args:
        console: None where a script reads the JSON alone.
        given_up, only: as for `judge`.
    """
    verdict = judge(plan, store, study, given_up, only)
    if console is not None:
        verdict.show(console)
    return (0 if verdict.is_passed else 1), {"rehearsal": verdict.as_json()}


def _stage_of(run: Run) -> str:
    recipe = run.recipe
    if isinstance(recipe, Finetune):
        return f"{recipe.mode} on {recipe.dataset}"
    assert isinstance(recipe, Pretrain)
    return f"pre-training: {recipe.method}"


def _of_runs(
    name: str, runs: Sequence[Run], done: set[str], store: Store, given_up: Mapping[str, str]
) -> RehearsedStage:
    missing = [run for run in runs if run.id not in done]
    told = next((run for run in missing if store.run(run.id).error.exists()), None)
    failed = told or next((run for run in missing if run.id in given_up), None)
    reason, log = _reason(failed or missing[0], store, given_up) if missing else ("", "")
    return RehearsedStage(
        name, len(runs) - len(missing), len(runs), reason, log, has_failed=failed is not None
    )


def _reason(run: Run, store: Store, given_up: Mapping[str, str]) -> tuple[str, str]:
    failure = failures.read(store.run(run.id))
    if failure is not None:
        log = str(store.run(run.id).error)
        return f"run {run.id}: {str(failure.get('message', ''))[:_LONGEST]}", log
    if run.id in given_up:
        return f"run {run.id}: {given_up[run.id][:_LONGEST]}", ""
    return f"run {run.id} has not run", ""


def _of_results(
    store: Store, study: str, has_figures: bool, all_done: bool
) -> Iterator[RehearsedStage]:
    """Judge tables, figures and report; pre-trainings alone make no figure."""
    folder = store.study(study)
    yield _of_files("tables", [folder.summary / name for name in TABLES], all_done)
    figures = sorted(folder.figures.glob("*.svg")) if folder.figures.is_dir() else []
    if has_figures:
        yield _of_files("figures", figures, all_done)
    yield _of_files("report", [folder.report], all_done)


def _of_files(name: str, files: Sequence[Path], all_done: bool) -> RehearsedStage:
    """Judge what a study leaves at its end: before all runs are done, nothing of it has failed."""
    there = [path for path in files if path.is_file() and path.stat().st_size > 0]
    missing = [path for path in files if path not in there]
    reason = f"{missing[0]} is not there" if missing else "" if files else "there is none"
    return RehearsedStage(name, len(there), len(files), reason, has_failed=all_done)
