"""Summarize the union of several studies: a run that they share is one run, and counts once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.errors import StudyError
from hpc_xfer.study import plan_summary
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import terminal

if TYPE_CHECKING:  # takes 40 ms, which --help and --json need not
    from rich.console import RenderableType


@dataclass(frozen=True)
class UnionRow:
    """The runs that one study adds to those before it, as they are launched in turn."""

    study: str
    runs: int
    done: int
    shared: int  # with studies before it
    to_do: int  # not done, and in no study before it
    gpu_hours: float  # of these
    disk: int | None  # bytes of these; None: unknown


class Union:
    """Several studies that are launched one after another into one store."""

    def __init__(self, studies: Sequence[tuple[Study, Plan, set[str]]]) -> None:
        """Count what each study adds.

        Args:
            studies: each with its plan and the ids of its finished runs. Rehearsals share no run:
                each has a store of its own.
        """
        before: set[str] = set()
        self.is_rehearsal = any(study.rehearsal for study, _, _ in studies)
        self.rows: list[UnionRow] = []
        uses = Counter[tuple[str, str]]()  # store of its own or "", and run
        kinds: dict[str, str] = {}
        done_ids: set[str] = set()
        for study, plan, done in studies:
            ids = plan.by_id.keys()
            shared = set() if study.rehearsal else before & ids
            todo = plan.without(done | shared)
            self.rows.append(
                UnionRow(
                    study.name, len(plan.runs), len(done), len(shared), len(todo.runs),
                    plan_summary.gpu_hours(todo), plan_summary.disk_bytes(todo),
                )
            )  # fmt: skip
            uses.update((study.name if study.rehearsal else "", run_id) for run_id in ids)
            kinds |= {run.id: run.kind for run in plan.runs}
            done_ids |= done
            before |= ids
        self.runs, self.done = len(uses), len(done_ids)
        several = Counter(kinds[run_id] for (_, run_id), count in uses.items() if count > 1)
        self.shared = {kind: several[kind] for kind in ("pretrain", "finetune")}

    @property
    def to_do(self) -> int:
        return sum(row.to_do for row in self.rows)

    @property
    def gpu_hours(self) -> float:
        """An upper limit, from the minutes of the packs."""
        return sum(row.gpu_hours for row in self.rows)

    @property
    def disk(self) -> int | None:
        """Bytes of the runs that are to be done; None if those of a study are unknown."""
        sizes = [row.disk for row in self.rows]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def as_json(self) -> dict[str, Any]:
        """The summary for scripts."""
        return {
            "runs": self.runs, "done": self.done, "to_do": self.to_do, "shared": self.shared,
            "gpu_hours": self.gpu_hours, "disk_bytes": self.disk,
            "studies": [dict(vars(row)) for row in self.rows],
        }  # fmt: skip

    def rendered(self) -> "RenderableType":
        """Draw a line per study, then sentences on the total and on what is shared."""
        from rich.console import Group

        from hpc_xfer.system.screen.plain_console import line
        from hpc_xfer.system.screen.table_or_lines import TableOrLines

        names = ["study", "runs", "done", "shared", "to do", "GPU-hours", "disk"]
        rows = []
        for row in self.rows:
            counts = [f"{n:,}" for n in (row.runs, row.done, row.shared, row.to_do)]
            rows.append([row.study, *counts, f"{row.gpu_hours:,.1f}", _size(row.disk)])
        table = TableOrLines(f"{len(self.rows)} studies", names, rows, left=("study",))
        return Group(table, *map(line, self.sentences()))

    def sentences(self) -> list[str]:
        """Say the total and what is shared, a line each."""
        pretrains, finetunes = self.shared["pretrain"], self.shared["finetune"]
        both = (
            terminal.counted(pretrains, "pre-training"), terminal.counted(finetunes, "fine-tuning")
        )  # fmt: skip
        told = f"{' and '.join(both)} are in several studies: each is run once"
        nothing = "no run is in two of them"
        if self.is_rehearsal:
            nothing = "each is rehearsed in a store of its own, with all its runs"
        return [
            f"together {terminal.counted(self.runs, 'run')}, {self.done:,} done, {self.to_do:,} to "
            f"do; at most {self.gpu_hours:,.1f} GPU-hours, {_size(self.disk)} of disk",
            told if pretrains + finetunes else nothing,
        ]


def check_names(studies: Sequence[tuple[Path, str]]) -> None:
    """Check that no two studies have the same name: they would be one study of the store.

    Args:
        studies: path of the grid and name of the study.

    Raises:
        StudyError: two have.
    """
    grids: dict[str, Path] = {}
    for grid, name in studies:
        if name in grids:
            raise StudyError(
                f"{grid}: has the name {name!r}, as {grids[name]} has; give each study of a store "
                "a name of its own"
            )
        grids[name] = grid


def _size(count: int | None) -> str:
    return "unknown" if count is None else terminal.size(count)
