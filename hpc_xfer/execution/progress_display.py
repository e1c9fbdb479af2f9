"""Show the progress of a launch on this machine: live bars in a terminal, plain lines elsewhere."""

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich import progress
from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.text import Text

from hpc_xfer.store import failures
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.store import Store
from hpc_xfer.study.labels import RunTitles
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import terminal
from hpc_xfer.system.screen.plain_text import plain

_LAST_LINES = 6  # of a traceback; the log has all
_PLAIN_SECONDS = 10.0  # between plain lines
# Columns left free at the end of the last line: the terminal prints `^C` there, twice perhaps. In a
# full line it would begin another one, and what is drawn next would leave a line of before.
_CTRL_C = 4
_NAMED = 8  # running runs that are named below the bars


class Bars(progress.Progress):
    """A bar per stage with count, clock and time to go, which never give way to other text.

    What is running stands in a line below, cut at the edge of the screen.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._running = ""
        # Description, count, clock and time to go take 52 columns for 100,000 runs and 100 hours.
        bar = min(40, max(6, console.width - 54))
        super().__init__(
            progress.TextColumn("{task.description:<12}", markup=False),
            progress.BarColumn(bar), progress.MofNCompleteColumn(), progress.TimeElapsedColumn(),
            _ToGo(), console=console, transient=False, speed_estimate_period=600,
            get_time=clock,
        )  # fmt: skip

    def show_running(self, running: list[str]) -> None:
        """Show texts on what is running."""
        more = f" and {len(running) - _NAMED} more" if len(running) > _NAMED else ""
        self._running = plain(", ".join(running[:_NAMED]) + more)

    def stop(self) -> None:
        """Leave counts and clock on the screen: what did not run has no time to go any more."""
        for task in self.task_ids:
            self.stop_task(task)
        self._running = ""
        super().stop()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self._running:
            now = Text(f"now: {self._running}", no_wrap=True, overflow="ellipsis")
            yield Constrain(now, self.console.width - _CTRL_C)


class _ToGo(progress.ProgressColumn):
    """`3:20:00 to go`, or nothing before it can be told and after the end.

    Runs that failed, or that wait for one that failed, take no more time.
    """

    max_refresh = 0.5

    def render(self, task: progress.Task) -> Text:
        left = (task.remaining or 0) - task.fields.get("failed_or_blocked", 0)
        if task.stop_time is not None or not task.speed or left <= 0:
            return Text("")
        minutes, seconds = divmod(math.ceil(left / task.speed), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours}:{minutes:02}:{seconds:02} to go")


class Display:
    """Shows the counts of each stage, and the runs that are running."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        done: set[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store, self.runs, self.clock = store, plan.by_id, clock
        self.titles = RunTitles(plan)
        self.total = {kind: len(plan.of(kind)) for kind in ("pretrain", "finetune")}
        self.done = {
            kind: sum(run.id in done for run in plan.of(kind)) for kind in ("pretrain", "finetune")
        }
        self._failed: Counter[str] = Counter()  # of each kind
        self._blocked: Counter[str] = Counter()
        self.logs: dict[str, Path] = {}  # of failed runs
        self.console = terminal.console(stderr=True)
        self.live = terminal.is_live(self.console)
        self._owners: set[str] = set()  # of held runs, that were named
        self._last_line: float | None = None  # time; None: no counts were printed yet
        self._bars = Bars(self.console)
        self._tasks: dict[str, progress.TaskID] = {}

    def __enter__(self) -> "Display":
        if self.live:
            for kind, name in (("pretrain", "pre-training"), ("finetune", "fine-tuning")):
                if self.total[kind]:
                    self._tasks[kind] = self._bars.add_task(
                        name,
                        total=self.total[kind],
                        completed=self.done[kind],
                        failed_or_blocked=0,
                    )
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self._bars.stop()
        else:
            self._plain(force=True)

    def finished(self, run_id: str) -> None:
        """Show that a run is done."""
        kind = self.runs[run_id].kind
        self.done[kind] += 1
        if self.live:
            self._bars.update(self._tasks[kind], completed=self.done[kind])
        elif kind == "pretrain":
            self.say(f"done: {self.title(run_id)} ({run_id})")

    def started(self, run_id: str) -> None:
        """Show that a pre-training began; fine-tunings are too short for a line."""
        if not self.live and self.runs[run_id].kind == "pretrain":
            self.say(f"started: {self.title(run_id)} ({run_id})")

    def held(self, run_id: str, by: Mapping[str, Any]) -> None:
        """Say, once for each process of another launch, that it works on a run."""
        owner = run_claims.owner_text(by)
        if owner not in self._owners:
            self._owners.add(owner)
            self.say(f"waiting for {self.title(run_id)} ({run_id}), held by {owner}")

    def failed(self, run_id: str, kind: str, message: str, log: Path | None) -> None:
        """Show which run failed and why; for an error in the program also where."""
        self._failed[self.runs[run_id].kind] += 1
        self._count_failed_or_blocked()
        self.say(f"failed: {self.title(run_id)} ({run_id}): {kind}: {message}")
        error = failures.read(self.store.run(run_id))
        if error is not None and kind in ("code", "killed", "gpu", "hung", "silent"):
            for line in error["traceback"][-_LAST_LINES:]:
                self.say(f"  | {line}")
        if log is not None:
            self.logs[run_id] = log
            self.say(f"  log: {log}")

    def blocked(self, run_ids: Collection[str]) -> None:
        """Show that these runs wait for one that failed; the last call holds."""
        if len(run_ids) != self._blocked.total():
            self._blocked = Counter(self.runs[run_id].kind for run_id in run_ids)
            self._count_failed_or_blocked()

    def _count_failed_or_blocked(self) -> None:
        for kind, task in self._tasks.items():
            self._bars.update(task, failed_or_blocked=self._failed[kind] + self._blocked[kind])

    def refresh(self, running: list[str]) -> None:
        """Show the running runs, with progress and speed."""
        if not self.live:
            self._plain()
            return
        self._bars.show_running([self._now(run_id) for run_id in running])

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def title(self, run_id: str) -> str:
        """Return `clip sans 8k` or `clip sans 8k -> digits 5 shots, draw 0`."""
        return self.titles.of(self.runs[run_id])

    def _now(self, run_id: str) -> str:
        beat = run_claims.progress(self.store.run(run_id))
        if beat is None or "total" not in beat:  # before its first step
            return self.title(run_id)
        percent = 100 * beat["step"] // max(beat["total"], 1)
        return f"{self.title(run_id)} {percent}% {beat['samples_per_second']:,.0f}/s"

    def _plain(self, force: bool = False) -> None:
        now = self.clock()
        soon = self._last_line is not None and now - self._last_line < _PLAIN_SECONDS
        if soon and not force:
            return
        self._last_line = now
        counts = [
            f"{name} {self.done[kind]}/{self.total[kind]}"
            for kind, name in (("pretrain", "pre-training"), ("finetune", "fine-tuning"))
            if self.total[kind]
        ]
        if failed := self._failed.total():
            counts.append(f"{failed} failed")
        if blocked := self._blocked.total():
            counts.append(f"{blocked} blocked")
        self.say(", ".join(counts))
