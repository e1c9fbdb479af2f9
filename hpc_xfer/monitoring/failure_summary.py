"""Repeat, at the end of a launch, what failed and what to do: grouped by class, then by run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc_xfer.monitoring.study_arguments import StudyArguments
from hpc_xfer.store import failures, retry_policy
from hpc_xfer.store.store import Store
from hpc_xfer.study.labels import RunTitles
from hpc_xfer.study.plan import Plan
from hpc_xfer.system.terminal import counted

_FAILED = ("failed", "given_up", "refused")  # keys of `launch --json`
_LISTED = 5  # runs of one class; a launch can fail thousands of times for one reason


@dataclass(frozen=True)
class FailureSummary:
    """The failed runs of a study at the end of a launch."""

    plan: Plan
    store: Store
    failed: Mapping[str, str]  # run -> `class: message`
    arguments: StudyArguments  # by which other commands find the study
    logs: Mapping[str, Path] = field(default_factory=dict)  # of the runs that failed just now

    def lines(self) -> list[str]:
        """Return lines to print; none where nothing failed."""
        if not self.failed:
            return []
        classes: dict[str, list[str]] = {}
        for run_id, message in self.failed.items():
            classes.setdefault(self._class_of(run_id, message), []).append(run_id)
        blocked = self._blocked()
        waiting = "1 more waits" if blocked == 1 else f"{blocked:,} more wait"
        behind = f"; {waiting} for what failed" if blocked else ""
        found = ["", f"{counted(len(self.failed), 'run')} failed{behind}:"]
        titles = RunTitles(self.plan)
        for kind, runs in sorted(classes.items(), key=lambda each: -len(each[1])):
            meaning = retry_policy.rule_of(kind).meaning
            found.append(
                f"{kind}: {counted(len(runs), 'run')}" + (f" ({meaning})" if meaning else "")
            )
            for run_id in runs[:_LISTED]:
                found += self._of_run(run_id, kind, titles)
            if (more := len(runs) - _LISTED) > 0:
                found.append(f"  ... and {more:,} more of this class; `status` has all")
        return [*found, *self._what_to_do(classes)]

    def _blocked(self) -> int:
        """Count the runs without a result behind those that failed, now or before."""
        done, behind = self.store.done(self.plan), set(self.failed)
        for run in self.plan.runs:  # a parent comes first
            if run.id not in done and any(parent.id in behind for parent in run.parents):
                behind.add(run.id)
        return len(behind) - len(self.failed)

    def _of_run(self, run_id: str, kind: str, titles: RunTitles) -> list[str]:
        run = self.plan.by_id.get(run_id)
        message = self.failed[run_id].removeprefix(f"{kind}: ")
        first = next(iter(message.splitlines()), "")
        found = [f"  {run_id}  {titles.of(run) if run else ''}".rstrip(), f"    {first}"]
        if (log := self.logs.get(run_id)) is not None:
            found.append(f"    log: {log}")
        return found

    def _class_of(self, run_id: str, message: str) -> str:
        kind = message.partition(": ")[0]
        if kind in retry_policy.RULES:
            return kind
        error = failures.read(self.store.run(run_id))
        return str(error["class"]) if error else "failed"

    def _what_to_do(self, classes: Mapping[str, list[str]]) -> list[str]:
        again = [kind for kind in classes if retry_policy.is_retried(kind, "launch")]
        fatal = [kind for kind in classes if kind not in again]
        first = next(iter(self.failed))
        launch, status = map(self.arguments.call, ("launch", "status"))
        found = [f"what to do: look closer: {status} --why {first}"]
        if again:
            found.append(f"  a new launch tries again what failed by {_listed(again)}: {launch}")
        if fatal:
            found.append(
                f"  {_listed(fatal)} would fail again; fix the cause, then: {launch} --retry-failed"
            )
        return found


def failed_studies(
    asked: Sequence[StudyArguments], answers: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Name the studies of one launch in which runs failed, where lines of others came after.

    Args:
        asked: of all studies of the launch.
        answers: of those that were launched, as `launch --json` has them; a study on Slurm tells
            of runs that failed before, and of those that Slurm refused.
    """
    counts = [sum(len(each.get(key, ())) for key in _FAILED) for each in answers]
    if not any(counts[:-1]):
        return
    yield ""
    yield "runs failed in these studies:"
    for arguments, answer, count in zip(asked, answers, counts, strict=False):
        if count:
            what = f"{answer['study']}: {counted(count, 'run')} failed"
            yield f"  {what}; look closer: {arguments.call('status')}"


def _listed(kinds: list[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in kinds)
